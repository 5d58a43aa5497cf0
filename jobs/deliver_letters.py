"""Every letter that is ready leaves."""

from datetime import datetime, timedelta

from resonance_zoom import wave
from resonance_zoom.errors import MailUnreachable
from resonance_zoom.service import Service
from resonance_zoom.store import journal

RELAY_BACK_OFF = (1, 2, 5, 10)  # minutes; never longer, so that a wave follows soon after recovery


def run(service: Service) -> str:
    """Send what is ready, the longest first, unless sending is paused, held or without relay.

    Raises MailUnreachable when the relay cannot be spoken to; the letters stay queued.
    """
    if reason := _hindrance(service):
        return reason
    try:
        sent = wave.send_ready(
            service.delivery, lambda: not (service.stopping() or service.guard.jumped())
        )
    except MailUnreachable as error:
        _relay_is_down(service, error)
        raise
    if sent:
        _relay_is_up(service)
    return f"{sent} letters dealt with" if sent else "nothing ready"


def _hindrance(service: Service) -> str | None:
    if doubt := service.guard.check(service.zoom):
        return f"held: {doubt}"
    with service.store.read() as connection:
        if journal.recall(connection, journal.PAUSED):
            return "paused by staff"
        relay = journal.recall(connection, journal.RELAY)
    if relay and service.now() < datetime.fromisoformat(relay["again_at"]):
        return f"the mail server is down; again at {relay['again_at'][11:16]} UTC"
    return None


def _relay_is_down(service: Service, error: MailUnreachable) -> None:
    now = service.now()
    with service.store.write() as connection:
        relay = journal.recall(connection, journal.RELAY) or {"failures": 0}
        minutes = RELAY_BACK_OFF[min(relay["failures"], len(RELAY_BACK_OFF) - 1)]
        again_at = now + timedelta(minutes=minutes)
        journal.remember(
            connection,
            journal.RELAY,
            {"failures": relay["failures"] + 1, "again_at": again_at, "error": error.message},
        )
        journal.note(
            connection,
            now,
            "mail.unreachable",
            f"{error.message} {error.remedy}".strip(),
            level=journal.ERROR if error.permanent else journal.WARNING,
            failures=relay["failures"] + 1,
            again_at=again_at,
        )


def _relay_is_up(service: Service) -> None:
    with service.store.read() as connection:
        relay = journal.recall(connection, journal.RELAY)
    if relay:
        with service.store.write() as connection:
            journal.forget(connection, journal.RELAY)
            words = f"the mail server answers again after {relay['failures']} failures"
            journal.note(connection, service.now(), "mail.reachable", words)
