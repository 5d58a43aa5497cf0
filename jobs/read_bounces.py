"""Reports of letters that came back are read, and put on the letters that they are about."""

from datetime import timedelta
from typing import Any

from resonance_zoom import undelivered
from resonance_zoom.errors import MailboxUnreadable
from resonance_zoom.mail import bounces
from resonance_zoom.mail.mailbox import Batch, Mailbox, Seen
from resonance_zoom.service import Service
from resonance_zoom.store import journal

A_DAY = timedelta(days=1)  # a mailbox counts days in a zone of its own
MOST_BATCHES = 10  # in one run; who floods the mailbox must not keep the service busy
TOLD_AFTER = 3  # failures in a row; a connection may break once
REST = timedelta(hours=1)  # after what only a person can mend: a login may be locked otherwise


def run(service: Service) -> str:
    """Read what has come since the last time, no further back than the first letter.

    Raises MailboxUnreadable; no letter waits for that, and staff are told once.
    """
    mailbox = service.mailbox
    if mailbox is None:
        _readable(service)
        return "BOUNCES_URL is not set"
    if mailbox.rests_until and service.now() < mailbox.rests_until:
        raise MailboxUnreadable(_known_trouble(service))
    try:
        read, news = _read(service, mailbox)
    except MailboxUnreadable as error:
        mailbox.rests_until = service.now() + REST if error.permanent else None
        _unreadable(service, error)
        raise
    _readable(service)
    return f"{read} reports read, {news} letters did not arrive" if read else "no report has come"


def _read(service: Service, mailbox: Mailbox) -> tuple[int, int]:
    """(reports read, letters of which they were news)."""
    with service.store.read() as connection:
        since = undelivered.first_left_at(connection)
        seen = _seen(journal.recall(connection, journal.MAILBOX), mailbox)
    read = news = 0
    if since is None:
        return read, news
    for _ in range(MOST_BATCHES):
        batch = mailbox.read_on((since - A_DAY).date(), seen)
        seen = batch.seen
        read += len(batch.messages)
        news += _keep(service, mailbox, batch)
        if not batch.more or service.stopping():
            break
    return read, news


def _seen(kept: dict[str, Any] | None, mailbox: Mailbox) -> Seen | None:
    if kept is None or kept["of"] != mailbox.name:
        return None
    return Seen(kept["validity"], kept["uid"])


def _keep(service: Service, mailbox: Mailbox, batch: Batch) -> int:
    """What was learned, and how far the mailbox was read: both or none."""
    reports = [report for message in batch.messages for report in _reports(message)]
    with service.store.write() as connection:
        news = undelivered.learn(connection, reports, service.now())
        kept = {"of": mailbox.name, "validity": batch.seen.validity, "uid": batch.seen.uid}
        if kept != journal.recall(connection, journal.MAILBOX):
            journal.remember(connection, journal.MAILBOX, kept)
    return news


def _reports(message: bytes) -> list[bounces.Report]:
    try:
        return bounces.read(message)
    except bounces.NoReport:
        return []  # somebody's letter, or a report of another kind: none of our business


def _known_trouble(service: Service) -> str:
    with service.store.read() as connection:
        trouble = journal.recall(connection, journal.MAILBOX_DOWN)
    return trouble["error"] if trouble else "the mailbox is let rest"


def _unreadable(service: Service, error: MailboxUnreadable) -> None:
    with service.store.write() as connection:
        before = journal.recall(connection, journal.MAILBOX_DOWN) or {"failures": 0, "told": False}
        failures = before["failures"] + 1
        tells = not before["told"] and (error.permanent or failures >= TOLD_AFTER)
        trouble = {
            "failures": failures, "error": error.message, "told": before["told"] or tells,
        }  # fmt: skip
        journal.remember(connection, journal.MAILBOX_DOWN, trouble)
        if tells:
            words = f"letters that come back are not seen: {error.message} {error.remedy}".strip()
            journal.note(
                connection, service.now(), "mailbox.unreadable", words, level=journal.ERROR
            )


def _readable(service: Service) -> None:
    with service.store.read() as connection:
        trouble = journal.recall(connection, journal.MAILBOX_DOWN)
    if trouble is None:
        return
    with service.store.write() as connection:
        journal.forget(connection, journal.MAILBOX_DOWN)
        if trouble["told"] and service.mailbox is not None:
            words = "letters that come back are seen again"
            journal.note(connection, service.now(), "mailbox.readable", words)
