"""Zoom calls: verify the raw bytes, keep what they say in one transaction, answer, wake the rest.

The answer 200 means stored for good. What could not be stored is answered 503, because Zoom comes
again after a 5xx only: https://developers.zoom.us/docs/api/webhooks/
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from resonance_zoom import meetings, registrations
from resonance_zoom.errors import BadNotification, ResonanceError
from resonance_zoom.registrations import REGISTRATION_EVENTS
from resonance_zoom.service import Service
from resonance_zoom.store import journal
from resonance_zoom.zoom import protocol
from resonance_zoom.zoom.payloads import Challenge, Notification

MAX_BODY = 256 * 1024
MEETING_EVENTS = {
    "meeting.updated",
    "meeting.deleted",
    "meeting.permanently_deleted",
    "meeting.recovered",
}
log = structlog.get_logger("webhooks")


async def zoom_called(request: Request) -> Response:
    """POST /webhooks/zoom."""
    service: Service = request.app.state.service
    try:
        body = await _body(request)
        verified, said = _understand(service, request.headers, body)
        if isinstance(said, Challenge):
            # Our own `check` asks the same; it must not hide that Zoom has stopped asking.
            from_zoom = "resonance-zoom" not in request.headers.get("user-agent", "")
            return _challenged(service, said, verified, from_zoom=from_zoom)
        return await run_in_threadpool(_notified, service, said, verified)
    except BadNotification as error:
        log.warning("webhook refused", status=error.status, reason=error.message)
        return PlainTextResponse(error.message + "\n", status_code=error.status)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody is there to read it


def _understand(
    service: Service, headers: Mapping[str, str], body: bytes
) -> tuple[protocol.Verified, Notification | Challenge]:
    verified = protocol.verify(
        secrets=service.settings.zoom_webhook_secrets,
        headers=headers,
        body=body,
        now=service.now(),
    )
    return verified, protocol.parse(body)


async def _body(request: Request) -> bytes:
    """The raw bytes, cut off at 256 kB whatever Content-Length claims."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise BadNotification(415, "compressed bodies are not accepted")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise BadNotification(413, "the body is over 256 kB")
        chunks.append(chunk)
    return b"".join(chunks)


def _challenged(
    service: Service, challenge: Challenge, verified: protocol.Verified, *, from_zoom: bool
) -> Response:
    """Every 72 hours Zoom asks whether we know the secret: answered whatever the database does."""
    secret = service.settings.zoom_webhook_secrets[verified.secret_index]
    return JSONResponse(
        protocol.challenge_answer(challenge, secret=secret),
        background=BackgroundTask(_note_challenge, service) if from_zoom else None,
    )


def _note_challenge(service: Service) -> None:
    with suppress(ResonanceError), service.store.write() as connection:
        journal.note(connection, service.now(), "webhook.challenge", "Zoom validated our address")


def _notified(
    service: Service, notification: Notification, verified: protocol.Verified
) -> Response:
    try:
        with service.store.write() as connection:
            wake = _keep(connection, service, notification, verified)
    except ResonanceError as error:
        log.error("webhook not stored", reason=error.message)  # noqa: TRY400 — the reason says all
        return PlainTextResponse("not stored, come again\n", status_code=503)
    for job in wake:
        service.wake(job)
    return Response(status_code=200)


def _keep(
    connection: Connection,
    service: Service,
    notification: Notification,
    verified: protocol.Verified,
) -> tuple[str, ...]:
    """Store what the notification says; the jobs to wake."""
    now = service.now()
    meeting = meetings.by_zoom_id(connection, notification.meeting_id)
    kind = notification.event
    if kind not in REGISTRATION_EVENTS and kind not in MEETING_EVENTS:
        _note(connection, now, notification, meeting, "an event that we do not use")
        return ()
    if meeting is None:
        _note(connection, now, notification, meeting, "a meeting that is not in this campaign")
        # It may be the one that we are creating and have not saved yet.
        return ("create_meetings", "sync_registrants") if meetings.intended(connection) else ()
    if verified.stale or _is_ahead(notification, now):
        words = "too old, or ahead of the clock, to be applied; Zoom is asked instead"
        _note(connection, now, notification, meeting, words)
        return ("create_meetings", "sync_registrants")
    if kind in MEETING_EVENTS:
        if kind in {"meeting.deleted", "meeting.permanently_deleted"}:
            meetings.deleted_on_zoom(connection, meeting.zoom_meeting_id, now)
        _note(connection, now, notification, meeting, "the meeting is compared with the file")
        return ("create_meetings",)
    outcome = registrations.notified(connection, notification, meeting, service.campaign, now)
    return ("deliver_letters",) if outcome.owed else ()


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
