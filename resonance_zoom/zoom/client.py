"""Calls Zoom's REST API: one token, time limits, safe retries, errors that say what to do.

What is repeated: reads, PATCH and DELETE after a fault of the network or a 5xx; anything after a
429 or a 401, on which Zoom did nothing; a create only when the connection was never made, because
Zoom has no idempotency key. Never another 4xx: an app that keeps failing is disabled.
https://developers.zoom.us/docs/api/using-zoom-apis/
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

from tenacity import RetryCallState, Retrying, retry_if_exception

from resonance_zoom.errors import (
    ZoomError,
    ZoomNotFound,
    ZoomRateLimited,
    ZoomScopeMissing,
    ZoomUnauthorized,
    ZoomUnreachable,
)
from resonance_zoom.zoom import answers, parsing
from resonance_zoom.zoom.payloads import (
    Meeting,
    MeetingRequest,
    MeetingSummary,
    Registrant,
    User,
    changes_body,
)
from resonance_zoom.zoom.scopes import REQUIRED_SCOPES, missing_scopes, scopes_for
from resonance_zoom.zoom.token import Token, TokenKeeper
from resonance_zoom.zoom.wire import Bearer, Wire

__all__ = ["REQUIRED_SCOPES", "Call", "ZoomClient", "missing_scopes"]

PAGE_SIZE = 300
MAX_PAGES = 1000
ATTEMPTS = 4
LONGEST_CALL = 60.0  # seconds, with all its repetitions; a longer wait goes up to the caller
TOKEN_LIFE = 3600
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call as it went. `status` 0: no answer; `duration` in seconds."""

    operation: str
    meeting_id: int | None
    status: int
    duration: float
    error: str | None
    attempt: int


@dataclass(frozen=True, slots=True)
class _Request:
    """A call to be made. `operation` is Zoom's operationId."""

    operation: str
    method: str
    path: str
    meeting_id: int | None = None
    params: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    calls: list[Call] | None = None  # those of one listing, to be told of together


class _Course:
    """How one call is going: until when it may last (monotonic), and what was tried so far."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.attempt = 0
        self.maybe_done = False


class ZoomClient:
    """Zoom's REST API for one account. Thread-safe. `close()` hangs up.

    `on_calls` is told of every HTTP call as it went; of those of a list when it has ended.
    `timeout`: seconds to connect, to read.
    """

    def __init__(
        self,
        *,
        api_url: str,
        oauth_url: str,
        account_id: str,
        client_id: str,
        client_secret: str,
        now: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
        on_calls: Callable[[Sequence[Call]], None] | None = None,
        timeout: tuple[float, float] = (5.0, 20.0),
    ) -> None:
        self._api_url = api_url.rstrip("/")
        self._oauth_url = oauth_url
        self._account_id = account_id
        # Bytes: requests writes text as Latin-1 and fails on what a paste may bring along.
        self._credentials = (client_id.encode(), client_secret.encode())
        self._now = now
        self._sleep = sleep
        self._random = random
        self._monotonic = monotonic
        self._on_calls = on_calls
        self._wire = Wire(timeout=timeout, monotonic=monotonic)
        self._tokens = TokenKeeper(ask=self._ask_token, now=now, monotonic=monotonic)
        self.clock_skew: timedelta | None = None  # Zoom's Date minus our now(), of the last answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._wire.close()

    # ---- meetings ----------------------------------------------------------------------------

    def create_meeting(self, host: str, request: MeetingRequest) -> Meeting:
        """POST /users/{userId}/meetings. ZoomUnreachable.maybe_done: look before you repeat it."""
        path = f"/users/{_segment(host)}/meetings"
        return self._read(
            _Request("meetingCreate", "POST", path, body=request.body()), parsing.meeting
        )

    def get_meeting(self, meeting_id: int) -> Meeting:
        """GET /meetings/{meetingId}. Raises ZoomNotFound when it is gone or has expired."""
        path = f"/meetings/{meeting_id}"
        return self._read(_Request("meeting", "GET", path, meeting_id), parsing.meeting)

    def update_meeting(self, meeting_id: int, changes: Mapping[str, object]) -> None:
        """PATCH /meetings/{meetingId} with the changed fields only, as `settings.approval_type`."""
        path, body = f"/meetings/{meeting_id}", changes_body(dict(changes))
        self._call(_Request("meetingUpdate", "PATCH", path, meeting_id, body=body))

    def delete_meeting(self, meeting_id: int) -> None:
        """DELETE /meetings/{meetingId}, without a mail of Zoom's to anybody."""
        self._call(_Request("meetingDelete", "DELETE", f"/meetings/{meeting_id}", meeting_id))

    def list_meetings(self, host: str) -> list[MeetingSummary]:
        """Every scheduled meeting of a host that has not expired; every page."""
        path = f"/users/{_segment(host)}/meetings"
        listing = _Request("meetings", "GET", path, params={"type": "scheduled"})
        return [
            _understood(parsing.meeting_summary, line)
            for page in self._pages(listing, "meetings")
            for line in page
        ]

    # ---- registrants -------------------------------------------------------------------------

    def registrant_pages(self, meeting_id: int, status: str) -> Iterator[list[Registrant]]:
        """Every page of one status (approved, pending, denied). A fault raises in mid-listing.

        A line that cannot be read is left out, and raises after the last page: what could be read
        is of use, but such a listing must not pass for complete.
        """
        path = f"/meetings/{meeting_id}/registrants"
        listing = _Request("meetingRegistrants", "GET", path, meeting_id, {"status": status})
        unreadable = 0
        for page in self._pages(listing, "registrants"):
            readable = []
            for line in page:
                try:
                    readable.append(parsing.registrant(line))
                except ValueError:
                    unreadable += 1
            yield readable
        if unreadable:
            raise ZoomUnreachable(
                f"{unreadable} of the {status} registrants of meeting {meeting_id} cannot be read"
            )

    def get_registrant(self, meeting_id: int, registrant_id: str) -> Registrant:
        """GET /meetings/{meetingId}/registrants/{registrantId}."""
        path = f"/meetings/{meeting_id}/registrants/{_segment(registrant_id)}"
        return self._read(
            _Request("meetingRegistrantGet", "GET", path, meeting_id), parsing.registrant
        )

    def delete_registrant(self, meeting_id: int, registrant_id: str) -> None:
        """DELETE a registration: the place is free and the person may come back."""
        path = f"/meetings/{meeting_id}/registrants/{_segment(registrant_id)}"
        self._call(_Request("meetingregistrantdelete", "DELETE", path, meeting_id))

    def add_registrant(
        self, meeting_id: int, *, email: str, first_name: str, last_name: str
    ) -> None:
        """POST /meetings/{meetingId}/registrants: register somebody in their name.

        Zoom allows 3 a day for one person. What became of it comes as a webhook, or in a listing.
        """
        body = {"email": email, "first_name": first_name or email, "last_name": last_name}
        path = f"/meetings/{meeting_id}/registrants"
        self._call(_Request("meetingRegistrantCreate", "POST", path, meeting_id, body=body))

    # ---- account -----------------------------------------------------------------------------

    def get_user(self, user: str) -> User:
        """GET /users/{userId}."""
        return self._read(_Request("user", "GET", f"/users/{_segment(user)}"), parsing.user)

    def granted_scopes(self) -> frozenset[str]:
        """The scopes of the token, as Zoom lists them."""
        return self._tokens.get(self._monotonic() + LONGEST_CALL).scopes

    # ---- one call ----------------------------------------------------------------------------

    def _read(self, request: _Request, parse: Callable[[dict[str, Any]], T]) -> T:
        return _understood(parse, self._call(request))

    def _pages(self, listing: _Request, name: str) -> Iterator[list[Any]]:
        """The lines under `name`, page by page, until Zoom names no next page."""
        calls: list[Call] = []
        try:
            yield from self._gathered_pages(replace(listing, calls=calls), name)
        finally:
            self._tell(calls)

    def _gathered_pages(self, listing: _Request, name: str) -> Iterator[list[Any]]:
        params = {**(listing.params or {}), "page_size": PAGE_SIZE}
        seen: set[str] = set()
        while len(seen) < MAX_PAGES:
            page = self._call(replace(listing, params=params))
            yield _understood(lambda answer: parsing.lines(answer, name), page)
            token = str(page.get("next_page_token") or "")
            if not token:
                return
            if token in seen:
                break
            seen.add(token)
            params["next_page_token"] = token
        raise ZoomUnreachable(f"Zoom's list of {name} does not end")

    def _call(self, request: _Request) -> dict[str, Any]:
        """Repeat what is safe to repeat, renew the token once, and give the JSON of the answer."""
        course = _Course(self._monotonic() + LONGEST_CALL)
        token = self._tokens.get(course.until)
        try:
            return self._attempts(request, token, course)
        except ZoomScopeMissing:
            # A token does not gain scopes: once they are added, the next call must ask anew.
            self._tokens.invalidate(token)
            raise
        except ZoomUnauthorized:
            # Another process may have used the token up; Zoom did nothing on a 401.
            self._tokens.invalidate(token)
        return self._attempts(request, self._tokens.get(course.until), course)

    def _attempts(self, request: _Request, token: Token, course: _Course) -> dict[str, Any]:
        try:
            return self._repeated(
                request,
                course,
                url=self._api_url + request.path,
                auth=Bearer(token.value),
                params=request.params,
                json=request.body,
            )
        except ZoomNotFound:
            # It is gone because an attempt whose answer was lost has deleted it.
            if request.method == "DELETE" and course.maybe_done:
                return {}
            raise

    def _ask_token(self, until: float) -> Token:
        asked = self._now()
        try:
            answer = self._repeated(
                _Request("token", "POST", ""),
                _Course(until),
                url=self._oauth_url,
                auth=self._credentials,
                # In the body: Zoom refuses these as query parameters.
                data={"grant_type": "account_credentials", "account_id": self._account_id},
            )
        except ZoomUnreachable as fault:
            fault.maybe_done = False  # what the token was wanted for has not been sent
            raise
        value, life = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise ZoomUnreachable("Zoom's answer holds no access token")
        return Token(
            value=value,
            ends=asked + timedelta(seconds=life if isinstance(life, int) else TOKEN_LIFE),
            scopes=frozenset(str(answer.get("scope") or "").split()),
        )

    def _repeated(self, request: _Request, course: _Course, **sending: Any) -> dict[str, Any]:
        """Send until there is an answer, or it is of no use, unsafe or too late to try again."""

        def is_safe(error: BaseException) -> bool:
            if isinstance(error, ZoomRateLimited):
                return not error.daily
            repeatable = request.operation != "meetingCreate"
            return isinstance(error, ZoomUnreachable) and (repeatable or not error.maybe_done)

        def is_enough(state: RetryCallState) -> bool:
            back = self._monotonic() + state.upcoming_sleep
            return state.attempt_number >= ATTEMPTS or back >= course.until

        return Retrying(
            stop=is_enough,
            retry=retry_if_exception(is_safe),
            wait=self._pause,
            sleep=self._sleep,
            reraise=True,
        )(lambda: self._send(request, course, **sending))

    def _pause(self, state: RetryCallState) -> float:
        """1, 2, 4 s with jitter so that clients do not march in step; longer if Zoom says so."""
        pause = float(2 ** (state.attempt_number - 1)) * (0.5 + self._random())
        error = state.outcome.exception() if state.outcome else None
        return max(pause, error.retry_after) if isinstance(error, ZoomRateLimited) else pause

    def _send(self, request: _Request, course: _Course, *, url: str, **sending: Any) -> Any:
        """One HTTP call, told to `on_calls` however it went."""
        began, status, error = self._monotonic(), 0, None
        course.attempt += 1
        try:
            answer = self._wire.send(request.method, url, until=course.until, **sending)
            status = answer.status
            self.clock_skew = answers.clock_skew(answer, self._now())
            needs = scopes_for(request.operation)[:1]
            is_oauth = request.operation == "token"
            return answers.understood(answer, self._now(), needs=needs, is_oauth=is_oauth)
        except ZoomError as fault:
            course.maybe_done |= isinstance(fault, ZoomUnreachable) and fault.maybe_done
            error = fault.message
            raise
        finally:
            took = self._monotonic() - began
            call = Call(request.operation, request.meeting_id, status, took, error, course.attempt)
            if request.calls is None:
                self._tell([call])
            else:
                request.calls.append(call)

    def _tell(self, calls: Sequence[Call]) -> None:
        if self._on_calls is not None and calls:
            self._on_calls(calls)


def _understood(parse: Callable[[Any], T], answer: Any) -> T:
    """A success whose JSON is not what Zoom documents is treated like no answer."""
    try:
        return parse(answer)
    except ValueError as fault:
        raise ZoomUnreachable(f"Zoom's answer cannot be read: {fault}", maybe_done=True) from None


def _segment(value: str) -> str:
    """A value as one segment of a path."""
    return quote(value, safe="@")
