"""Zoom calls: verify the raw bytes, keep what they say in one transaction, answer, wake the rest.

The answer 200 means stored for good. What could not be stored is answered 503, because Zoom comes
again after a 5xx only: https://developers.zoom.us/docs/api/webhooks/
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from resonance_zoom import learning, meetings
from resonance_zoom.errors import BadNotification, ResonanceError
from resonance_zoom.registrations import REGISTRATION_EVENTS
from resonance_zoom.service import Service
from resonance_zoom.store import journal
from resonance_zoom.store.groups import GroupCommit
from resonance_zoom.web.challenges import Challenges, note_answered, note_refused
from resonance_zoom.zoom import protocol
from resonance_zoom.zoom.payloads import Challenge, Notification

PATH = "/webhooks/zoom"
MAX_BODY = 256 * 1024
_READ = {
    name.encode(): name
    for name in ("content-encoding", "user-agent", protocol.SIGNATURE, protocol.TIMESTAMP)
}
MEETING_EVENTS = {
    "meeting.updated",
    "meeting.deleted",
    "meeting.permanently_deleted",
    "meeting.recovered",
}
log = structlog.get_logger("webhooks")


class Call(NamedTuple):
    """A notification, and what its signature proved."""

    said: Notification
    verified: protocol.Verified


Reception = GroupCommit[Call, None]


def make_reception(service: Service) -> Reception:
    """Where calls become commits: all that come during one make the next."""
    return GroupCommit(partial(_keep_and_wake, service), name="webhooks")


def _keep_and_wake(service: Service, calls: Sequence[Call]) -> Sequence[None]:
    # Each once, in their order: meetings before their registrants.
    for job in dict.fromkeys(chain.from_iterable(keep(service, calls))):
        service.wake(job)
    return [None] * len(calls)


@dataclass(frozen=True, slots=True)
class Door:
    """ASGI: POST /webhooks/zoom, without the layers that pages need.

    Everything else can wait for a moment; here a whole mailing list registers at once. `headers`
    stand in every answer.
    """

    service: Service
    reception: Reception
    challenges: Challenges
    headers: list[tuple[bytes, bytes]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call of Zoom's."""
        try:
            answer = await self._answer(scope, receive)
        except BadNotification as error:
            log.warning("webhook refused", status=error.status, reason=error.message)
            answer = PlainTextResponse(error.message + "\n", status_code=error.status)
        except ClientDisconnect:
            return  # nobody is there to read it
        if answer is None:
            headers = [*self.headers, (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        answer.raw_headers.extend(self.headers)
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        """None, as nearly always: it is stored, and that is all there is to say."""
        # The first of two headers of one name, as everywhere else.
        headers = {
            _READ[name]: value.decode("latin-1")
            for name, value in reversed(scope["headers"])
            if name in _READ
        }
        body = await _body(headers, receive)
        verified, said = _understand(self.service, headers, body)
        if isinstance(said, Challenge):
            # Our own `check` asks the same; it must not hide that Zoom has stopped asking.
            from_zoom = "resonance-zoom" not in headers.get("user-agent", "")
            return _challenged(self.service, self.challenges, said, verified, from_zoom=from_zoom)
        try:
            await self.reception.commit(Call(said, verified))
        except ResonanceError as error:
            return not_stored(error)
        return None


class _Knock:
    """The route: whoever gets as far as this has taken the way of the pages."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].door(scope, receive, send)


KNOCK = _Knock()


def _understand(
    service: Service, headers: Mapping[str, str], body: bytes
) -> tuple[protocol.Verified, Notification | Challenge]:
    secrets = service.settings.zoom_webhook_secrets
    verified = protocol.verify(secrets=secrets, headers=headers, body=body, now=service.now())
    if len(secrets) > 1:  # of a rotation: the old one can go when nothing is signed with it
        log.info("webhook signed", secret=f"{verified.secret_index + 1} of {len(secrets)}")
    return verified, protocol.parse(body)


async def _body(headers: Mapping[str, str], receive: Receive) -> bytes:
    """The raw bytes, cut off at 256 kB whatever Content-Length claims."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise BadNotification(415, "compressed bodies are not accepted")
    body, more = bytearray(), True  # bytes would be copied whole for every byte that drips in
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise BadNotification(413, "the body is over 256 kB")
        more = message.get("more_body", False)
    return bytes(body)


def _challenged(
    service: Service,
    challenges: Challenges,
    challenge: Challenge,
    verified: protocol.Verified,
    *,
    from_zoom: bool,
) -> Response:
    """Every 72 hours Zoom asks whether we know the secret: answered whatever the database does."""
    now = service.now()
    if not challenges.may_be_answered(now):
        told = BackgroundTask(note_refused, service) if challenges.are_to_be_told(now) else None
        log.warning("webhook refused", status=429, reason="over ten challenges within a minute")
        return PlainTextResponse("too many challenges\n", status_code=429, background=told)
    secret = service.settings.zoom_webhook_secrets[verified.secret_index]
    return JSONResponse(
        protocol.challenge_answer(challenge, secret=secret),
        background=BackgroundTask(note_answered, service) if from_zoom else None,
    )


def not_stored(error: ResonanceError) -> Response:
    """The answer when there was none: Zoom comes again."""
    log.error("webhook not stored", reason=error.message)
    return PlainTextResponse("not stored, come again\n", status_code=503)


def keep(service: Service, calls: Sequence[Call]) -> list[tuple[str, ...]]:
    """Store what notifications say, all or none; for each, the jobs to wake.

    Raises ResonanceError when they could not be stored.
    """
    now = service.now()
    with service.store.write() as connection:
        rows = {call.said.meeting_id for call in calls}
        known = meetings.by_zoom_ids(connection, rows)
        said = [
            _understood(connection, call, known.get(call.said.meeting_id), now) for call in calls
        ]
        told = [one for one in said if isinstance(one, learning.Told)]
        outcomes = iter(learning.learn(connection, told, service.campaign, now))
        return [_jobs(next(outcomes)) if isinstance(one, learning.Told) else one for one in said]


def _jobs(outcome: learning.Outcome) -> tuple[str, ...]:
    return ("deliver_letters",) * outcome.owed + ("sync_registrants",) * outcome.unclear


def _understood(
    connection: Connection, call: Call, meeting: Any, now: datetime
) -> learning.Told | tuple[str, ...]:
    """What is to be learnt of a registrant; else a line is written: the jobs to wake."""
    notification, kind = call.said, call.said.event
    if kind not in REGISTRATION_EVENTS and kind not in MEETING_EVENTS:
        _note(connection, now, notification, meeting, "an event that we do not use")
        return ()
    if meeting is None:
        _note(connection, now, notification, meeting, "a meeting that is not in this campaign")
        # It may be the one that we are creating and have not saved yet.
        return ("create_meetings", "sync_registrants") if meetings.intended(connection) else ()
    if call.verified.stale or _is_ahead(notification, now):
        words = "too old, or ahead of the clock, to be applied; Zoom is asked instead"
        _note(connection, now, notification, meeting, words)
        return ("create_meetings", "sync_registrants")
    if kind in MEETING_EVENTS:
        if kind in {"meeting.deleted", "meeting.permanently_deleted"}:
            meetings.deleted_on_zoom(connection, meeting.zoom_meeting_id, now)
        _note(connection, now, notification, meeting, "the meeting is compared with the file")
        return ("create_meetings",)
    return learning.notified(notification, meeting, now)


def _is_ahead(notification: Notification, now: datetime) -> bool:
    """A stamp from the future: it would win over all that is still to come."""
    return notification.event_ts > (now.timestamp() + protocol.FRESH_SECONDS) * 1000


def _note(
    connection: Connection, now: Any, notification: Notification, meeting: Any, words: str
) -> None:
    journal.note(
        connection,
        now,
        "webhook.received",
        f"{notification.event}: {words}",
        focus_group=meeting.focus_group if meeting is not None else None,
        event=notification.event,
        event_ts=notification.event_ts,
        zoom_meeting_id=notification.meeting_id,
    )
