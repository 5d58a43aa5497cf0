"""Zoom's answers understood: the JSON of a success, or an error that says what to do about it.

https://developers.zoom.us/docs/api/errors/ and https://developers.zoom.us/docs/api/rate-limits/
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from resonance_zoom.errors import (
    ZoomError,
    ZoomNotFound,
    ZoomRateLimited,
    ZoomRefused,
    ZoomScopeMissing,
    ZoomUnauthorized,
    ZoomUnreachable,
)
from resonance_zoom.zoom.wire import Answer

LONGEST_RETRY_AFTER = 3600.0  # seconds
UNSAID_RETRY_AFTER = 1.0  # of a limit per second, which names no time
_UNAUTHORIZED, _NOT_FOUND, _TOO_MANY = 401, 404, 429  # HTTP; 429 is also a code in the body
_BAD_TOKEN, _SCOPE_MISSING = 124, 4711
_OAUTH_CODES = range(4700, 4800)
_NO_MEETING, _NO_USER = 3001, 1001
_APP = "See the Server-to-Server OAuth app on marketplace.zoom.us: "
_CREDENTIALS = (
    _APP + "is it activated, and do ZOOM_ACCOUNT_ID, ZOOM_CLIENT_ID and ZOOM_CLIENT_SECRET"
    " belong together?"
)
_REMEDIES = {
    200: "The account or the host lacks the plan or the permission for this; see zoom.us › Plans.",
    300: "Zoom finds a field invalid; compare the campaign file with Zoom's message.",
    1001: "Zoom knows no such user: is zoom_host in the campaign file a user of this account?",
    1010: "zoom_host is not a user of this Zoom account.",
    1120: "The host has never accepted Zoom's invitation; see their mailbox.",
    3000: "Zoom does not let this host schedule meetings; see their role on zoom.us.",
    3001: "The meeting was deleted or has expired; see Meetings › Recently Deleted on zoom.us.",
    3027: "The host and alternative hosts cannot register for their own meeting.",
    3038: "The meeting is over.",
    3043: "The meeting is full: the account's plan sets its capacity.",
    3161: "Give the host a Meetings licence on zoom.us › User Management.",
}
_SCOPES = re.compile(r"scopes?:?\s*\[([^\]]*)\]")
_ADDRESS = re.compile(r"[^\s<>(\[,;:/]+(?:@|%40)[^\s<>)\],;/]+")
_TOKEN = re.compile(r"\beyJ[\w.-]+")
_LONGEST_WORDS = 500


def understood(
    answer: Answer, now: datetime, *, needs: Sequence[str] = (), is_oauth: bool = False
) -> dict[str, Any]:
    """The JSON object of a success, {} for a 204; else raises the ZoomError that fits.

    `needs`: scopes to name when Zoom says that some are missing and not which.
    """
    if answer.status == 204:
        return {}
    document = _document(answer)
    if answer.status in range(200, 300) and document is not None:
        return document
    if answer.status in range(400, 500) and (
        document is not None or is_oauth or answer.status in (_UNAUTHORIZED, _TOO_MANY)
    ):
        raise _refusal(answer, document or {}, now, needs, is_oauth=is_oauth)
    raise _not_zooms_word(answer, document or {})


def clock_skew(answer: Answer, now: datetime) -> timedelta | None:
    """The `Date` of the answer minus our clock; None when it does not say."""
    date = _moment(answer.headers.get("date", ""))
    return date - now if date else None


def _document(answer: Answer) -> dict[str, Any] | None:
    """The body, None when it is no JSON object or is not called one."""
    if "json" not in answer.headers.get("content-type", "").lower():
        return None  # a proxy's page
    try:
        document = json.loads(answer.body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _not_zooms_word(answer: Answer, document: Mapping[str, Any]) -> ZoomUnreachable:
    """5xx, a redirect, or a page that is not the API's: it may have been done all the same.

    A 404 of that kind must not count as "the meeting is gone".
    """
    status, words = answer.status, _words(document)
    if status in range(300, 400):
        message = f"Zoom answered {status}: an unexpected redirect, which is not followed"
    elif status >= 500:
        message = f"Zoom answered {status}" + (f": {words}" if words else "")
    else:
        message = f"Zoom answered {status} with something that is not JSON"
    return ZoomUnreachable(
        message,
        status=status,
        remedy="See status.zoom.us; is there a proxy between this machine and Zoom?",
        maybe_done=True,
    )


def _refusal(
    answer: Answer,
    document: Mapping[str, Any],
    now: datetime,
    needs: Sequence[str],
    *,
    is_oauth: bool,
) -> ZoomError:
    status, words, code = answer.status, _words(document), document.get("code")
    code = code if isinstance(code, int) else None
    message = f"Zoom answered {status}" + (f", code {code}: " if code else ": ") + words
    remedy = _REMEDIES.get(code or 0, "")
    if _TOO_MANY in (status, code):
        return _rate_limited(answer, message, code, now)
    scopes = _SCOPES.search(words)
    if scopes or code == _SCOPE_MISSING:
        named = [name.strip() for name in scopes[1].split(",") if name.strip()] if scopes else []
        return ZoomScopeMissing(message, scopes=named or needs, status=status, code=code)
    if status == _UNAUTHORIZED or is_oauth or code == _BAD_TOKEN or code in _OAUTH_CODES:
        return ZoomUnauthorized(message, status=status, code=code, remedy=_CREDENTIALS)
    if status == _NOT_FOUND or code in (_NO_MEETING, _NO_USER):
        return ZoomNotFound(message, status=status, code=code, remedy=remedy)
    return ZoomRefused(message, status=status, code=code, remedy=remedy)


def _words(document: Mapping[str, Any]) -> str:
    """Zoom's message and the fields it names, on one line, fit for a log."""
    errors = document.get("errors")
    fields = [
        f"{item.get('field')}: {item.get('message')}"
        for item in (errors if isinstance(errors, list) else ())
        if isinstance(item, dict)
    ]
    told = document.get("message") or document.get("reason") or document.get("error") or ""
    return _discreet("; ".join([str(told), *fields]))


def _discreet(words: str) -> str:
    """Zoom names people by their address, and a message may end in a log or on a page."""
    line = " ".join(words[: 2 * _LONGEST_WORDS].split())
    line = _ADDRESS.sub("(address)", _TOKEN.sub("(token)", line))
    return "".join(c if c.isprintable() else "?" for c in line)[:_LONGEST_WORDS]


def _rate_limited(answer: Answer, message: str, code: int | None, now: datetime) -> ZoomRateLimited:
    """`Retry-After` comes as seconds, as an ISO time, as an HTTP date, or not at all."""
    if "daily" in (message + answer.headers.get("x-ratelimit-type", "")).lower():
        midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
        wait = (midnight - now).total_seconds()
        return ZoomRateLimited(message, retry_after=wait, daily=True, code=code)
    asked = _seconds(answer.headers.get("retry-after", "").strip(), now) or UNSAID_RETRY_AFTER
    return ZoomRateLimited(message, retry_after=min(asked, LONGEST_RETRY_AFTER), code=code)


def _seconds(value: str, now: datetime) -> float:
    """From now on; 0 for a time that has passed or cannot be read."""
    if value.isascii() and value.isdigit():
        return float(value)
    moment = _moment(value)
    return max(0.0, (moment - now).total_seconds()) if moment else 0.0


def _moment(value: str) -> datetime | None:
    """An ISO time or an HTTP date as aware UTC."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, TypeError, OverflowError):
            continue
    return None
