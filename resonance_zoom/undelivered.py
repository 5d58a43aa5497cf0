"""What a mail server reports of a letter is put beside it: that it came back, or is delayed.

A report is a letter like any other, and anybody may write one. It is believed when it names the
Message-ID of a letter of ours and whom that went to. The one cannot be guessed, because the
personal link is part of it: who knows it has had the letter, or carried it. So all that a forger
can do is to say of their own letter that it did not arrive, in words of their choice, and nothing
follows from that by itself: no letter is held back, dropped or sent again, staff are told. The
journal, which is kept for longest, has the code alone.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, exists, func, or_, select, update

from resonance_zoom.campaign import CANCELLED, WITHDRAWN
from resonance_zoom.delivery import note_letter
from resonance_zoom.errors import MailRefused
from resonance_zoom.mail.addresses import plain_address
from resonance_zoom.mail.bounces import Report
from resonance_zoom.store import journal, outbox
from resonance_zoom.store.people import fold
from resonance_zoom.store.tables import letters, meetings, registrants

LOST, DELAYED = "lost", "delayed"
STILL_TRIED = timedelta(days=5)  # for so long most servers keep a delayed letter


def first_left_at(connection: Connection) -> datetime | None:
    """Since when reports can have come: the first letter of those that may come back."""
    found = select(func.min(letters.c.claimed_at)).where(letters.c.message_id.is_not(None))
    return connection.execute(found).scalar()


def open_cases(connection: Connection, now: datetime) -> dict[str, int]:
    """{LOST: people, DELAYED: people} of meetings to come whom something has not reached.

    A case is closed by a letter to the same person that left later, or is about to (if that comes
    back, it is a case itself), and when they hold no place any more.
    """
    later = letters.alias()
    made_good = exists().where(
        later.c.registrant == letters.c.registrant,
        or_(
            and_(later.c.state == outbox.SENT, later.c.claimed_at > letters.c.claimed_at),
            and_(later.c.state.in_((outbox.QUEUED, outbox.SENDING)), later.c.id > letters.c.id),
        ),
    )
    counted = (
        select(letters.c.bounce, func.count(letters.c.registrant.distinct()))
        .join(registrants, registrants.c.id == letters.c.registrant)
        .join(meetings, meetings.c.focus_group == letters.c.focus_group)
        .where(
            letters.c.bounce.is_not(None),
            or_(
                letters.c.bounce == LOST,
                and_(letters.c.bounce == DELAYED, letters.c.bounced_at > now - STILL_TRIED),
            ),
            or_(meetings.c.end_at.is_(None), meetings.c.end_at > now),
            or_(registrants.c.status == "approved", letters.c.kind.in_((CANCELLED, WITHDRAWN))),
            ~made_good,
        )
        .group_by(letters.c.bounce)
    )
    return {row[0]: row[1] for row in connection.execute(counted)}


def learn(connection: Connection, reports: Sequence[Report], now: datetime) -> int:
    """Put each report on the letter that it is about; returns of how many it was news.

    Harmless to repeat: what is lost stays so, and is told once.
    """
    return sum(
        _put(connection, letter, report, now)
        for report in reports
        for letter in _letters_of(connection, report)
    )


def _letters_of(connection: Connection, report: Report) -> list[Any]:
    """The letter with this Message-ID, if that is whom it went to."""
    rows = connection.execute(
        select(letters, registrants.c.email)
        .join(registrants, registrants.c.id == letters.c.registrant)
        .where(letters.c.message_id == report.message_id)
    ).all()
    return [row for row in rows if _as_written(row.email) in report.recipients]


def _as_written(email: str) -> str | None:
    """An address as the mail server was given it, in small letters."""
    try:
        return fold(plain_address(email))
    except MailRefused:
        return None  # nothing has ever left for it


def _put(connection: Connection, letter: Any, report: Report, now: datetime) -> bool:
    """Whether it was news: the same again is none, and after a loss nothing is."""
    if letter.bounce == LOST:
        return False
    status = report.status or None
    connection.execute(
        update(letters)
        .where(letters.c.id == letter.id)
        .values(
            bounce=LOST if report.lost else DELAYED,
            bounced_at=now,
            bounce_status=status,
            bounce_detail=report.words or None,
        )
    )
    if letter.bounce == DELAYED and not report.lost:
        return False
    kind, words, level = (
        ("letter.bounced", "it came back", journal.ERROR)
        if report.lost
        else ("letter.delayed", "it is delayed on its way", journal.WARNING)
    )
    code = f" ({status})" if status else ""
    note_letter(connection, letter, now, kind, f"{words}{code}", level, bounce_status=status)
    return True
