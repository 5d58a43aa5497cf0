"""Zoom's lists are read, and what a lost webhook left out is repaired."""

from typing import Any

from resonance_zoom import meetings
from resonance_zoom.errors import ZoomError, ZoomNotFound
from resonance_zoom.service import Service
from resonance_zoom.store import journal
from resonance_zoom.sweep import Sweep, sweep_meeting


def run(service: Service) -> str:
    """Sweep every meeting that is not over, one trouble stops no other; raises the last."""
    with service.store.read() as connection:
        rows = meetings.open_rows(connection)
    sentences: list[str] = []
    trouble: ZoomError | None = None
    for row in rows:
        if row.end_at is None or row.end_at <= service.now():
            continue
        if service.stopping():
            break
        try:
            sentences.append(sweep(service, row).sentence())
        except ZoomError as error:
            trouble = error
    if trouble is not None:
        raise trouble
    return "; ".join(sentences) or "no meeting to look at"


def sweep(service: Service, meeting: Any, *, gone_is_agreed: bool = False) -> Sweep:
    """Sweep one meeting; a failure has concluded nothing and goes up after it was written down."""
    began = service.now()
    try:
        found = sweep_meeting(
            service.store,
            service.zoom,
            meeting,
            service.campaign,
            service.now,
            gone_is_agreed=gone_is_agreed,
        )
    except ZoomError as error:
        with service.store.write() as connection:
            journal.note(
                connection,
                service.now(),
                "sweep.failed",
                f"the listing broke off: {error.message}",
                level=journal.WARNING,
                focus_group=meeting.focus_group,
                status=error.status,
                code=error.code,
            )
        if isinstance(error, ZoomNotFound):
            service.wake("create_meetings")
        raise
    with service.store.write() as connection:
        journal.note(
            connection,
            service.now(),
            "sweep.repaired" if found.repaired or found.gone or found.absent else "sweep.done",
            found.sentence(),
            level=_level(found),
            focus_group=meeting.focus_group,
            listed=found.listed,
            repaired=found.repaired,
            gone=found.gone,
            absent=found.absent,
            seconds=round((service.now() - began).total_seconds(), 3),
        )
    if found.owed:
        service.wake("deliver_letters")
    if meeting.state == meetings.MISSING:
        service.wake("create_meetings")  # it has registrants again: letters need not wait an hour
    return found


def _level(found: Sweep) -> str:
    """A sweep that found nothing to do is a technical line: it comes every ten minutes."""
    if found.repaired or found.gone:
        return journal.WARNING
    return journal.INFO if found.absent else journal.DEBUG
