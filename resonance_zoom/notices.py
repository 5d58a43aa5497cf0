"""Who is told that a meeting was moved or called off, and who that their place was given up.

Somebody is told of a move when the last letter that they got spoke of another start. Who has had no
letter yet needs none of this: their confirmation, still to come, says the new date.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, literal, select

from resonance_zoom.campaign import CANCELLED, MOVED, WITHDRAWN
from resonance_zoom.store import claims, outbox
from resonance_zoom.store.tables import UtcDateTime, letters, registrants
from resonance_zoom.store.upsert import insert

RECEIPT_IS_WORTH = timedelta(days=2)


def people_to_tell(connection: Connection, focus_group: str, start_at: datetime) -> int:
    """How many would be told if the meeting began at `start_at`."""
    found = (
        select(func.count()).select_from(registrants).where(_told_otherwise(focus_group, start_at))
    )
    return int(connection.execute(found).scalar_one())


def owe_moved(
    connection: Connection, meeting: Any, now: datetime, *, due_at: datetime | None = None
) -> int:
    """Owe the letter of a move to everyone who was told another start; returns how many.

    `meeting` is the row with its new start. `due_at` may lie ahead: until then the move can be
    taken back, and a letter that speaks of a start that is no longer true is not sent.
    """
    return _owe(
        connection,
        _told_otherwise(meeting.focus_group, meeting.start_at),
        kind=MOVED,
        occasion=f"{outbox.occasion_of(meeting.start_at)} revision {meeting.revision}",
        meeting=meeting,
        due_at=due_at or now,
        worth_until=meeting.end_at,
        now=now,
    )


def owe_cancelled(connection: Connection, meeting: Any, now: datetime) -> int:
    """Owe the letter that the meeting does not take place to all who hold a place; how many."""
    who = and_(
        registrants.c.focus_group == meeting.focus_group,
        registrants.c.status.in_(("approved", "pending")),
    )
    return _owe(
        connection,
        who,
        kind=CANCELLED,
        occasion=f"called off {outbox.occasion_of(meeting.cancelled_at)}",
        meeting=meeting,
        due_at=now,
        worth_until=meeting.end_at,
        now=now,
    )


def owe_receipt(connection: Connection, person: Any, meeting: Any, now: datetime) -> None:
    """Owe the letter that says that a place was given up."""
    outbox.owe(
        connection,
        registrant=person.id,
        focus_group=person.focus_group,
        kind=WITHDRAWN,
        occasion=f"episode {person.episode}",
        episode=person.episode,
        start_at=meeting.start_at,
        due_at=now,
        worth_until=now + RECEIPT_IS_WORTH,
        now=now,
    )


def _told_otherwise(focus_group: str, start_at: datetime) -> ColumnElement[bool]:
    told = claims.last_told_start(registrants.c.id).correlate(registrants).scalar_subquery()
    return and_(
        registrants.c.focus_group == focus_group,
        registrants.c.status == "approved",
        told != literal(start_at, UtcDateTime()),
    )


def _owe(
    connection: Connection,
    who: ColumnElement[bool],
    *,
    kind: str,
    occasion: str,
    meeting: Any,
    due_at: datetime,
    worth_until: datetime,
    now: datetime,
) -> int:
    when = UtcDateTime()
    values = {
        "registrant": registrants.c.id,
        "focus_group": registrants.c.focus_group,
        "kind": literal(kind),
        "occasion": literal(occasion),
        "episode": registrants.c.episode,
        "start_at": literal(meeting.start_at, when),
        "due_at": literal(due_at, when),
        "ready_at": literal(due_at, when),
        "worth_until": literal(worth_until, when),
        "state": literal(outbox.QUEUED),
        "created_at": literal(now, when),
    }
    rows = select(*values.values()).where(who)
    statement = insert(connection, letters).from_select(list(values), rows).on_conflict_do_nothing()
    return connection.execute(statement).rowcount
