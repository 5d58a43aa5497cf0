"""The letters owed: unique rows, the arrows between their states, and the claim.

    queued ──claim──▶ sending ──250──▶ sent
      ▲  │               │─────5xx──▶ failed
      │  └─▶ dropped     │─────4xx──▶ queued (later)
      │                  └─answer lost, or found after a crash─▶ in_doubt
      └──────────── once more under the same Message-ID ────────────┘

Every move is an UPDATE that names the state it leaves: who comes second changes nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    func,
    literal,
    select,
    update,
)

from resonance_zoom.store.direct import insert_many
from resonance_zoom.store.tables import UtcDateTime, events, letters, meta, registrants
from resonance_zoom.store.upsert import Insert, insert

QUEUED, SENDING, SENT, FAILED, DROPPED, IN_DOUBT = (
    "queued",
    "sending",
    "sent",
    "failed",
    "dropped",
    "in_doubt",
)
STATES = (QUEUED, SENDING, SENT, FAILED, DROPPED, IN_DOUBT)

REASONS = {
    "cancelled": "the registration was cancelled",
    "denied": "the registration was denied",
    "pending": "the registration waits for approval",
    "registered_again": "a newer registration has its own confirmation",
    "moved": "the meeting was moved; its new date has its own reminder",
    "too_late": "it could no longer leave in time",
    "no_join_url": "Zoom has not given a personal join link yet",
    "absent": "not in Zoom's last list; waiting for the next one",
    "meeting_missing": "the meeting is missing on Zoom",
    "deferred": "the mail server asked to wait",
    "refused": "the mail server refused it",
    "answer_lost": "the mail server's answer was lost; it may have been accepted",
    "crashed": "the service stopped in the middle of sending it",
    "template": "the letter could not be made",
    "by_hand": "asked for by staff",
    "dropped_by_hand": "taken out by staff",
    "erased": "the person's data were erased",
    "not_cancelled": "the meeting takes place after all",
    "meeting_cancelled": "the meeting was called off",
    "restored": "it may have gone before the database was restored",
    "adopted": "it may have gone before this database knew the meeting",
    "many_today": "it has not gone: more confirmations were owed that day than the file allows",
    "error": "an unexpected fault",
}
MANY_TODAY = "many_today"  # held before it ever left, see `holds`
LOOKS = "owed "  # and a focus group, in `meta`: how far its reminders were looked at
_SEEMED_GONE = ("cancelled", "denied", "pending")


def owe(
    connection: Connection,
    *,
    registrant: int,
    focus_group: str,
    kind: str,
    occasion: str,
    episode: int,
    start_at: datetime,
    due_at: datetime,
    worth_until: datetime,
    now: datetime,
) -> int | None:
    """Owe one letter, harmless a thousand times: its id if new, None if it was owed before.

    One that was dropped because the person seemed to be gone is owed anew when they are back.
    """
    row = {
        "registrant": registrant,
        "focus_group": focus_group,
        "kind": kind,
        "occasion": occasion,
        "episode": episode,
        "start_at": start_at,
        "due_at": due_at,
        "ready_at": due_at,
        "worth_until": worth_until,
        "state": QUEUED,
        "created_at": now,
    }
    statement = _owed_anew(insert(connection, letters).values(row)).returning(letters.c.id)
    return connection.execute(statement).scalar()


def owe_first(connection: Connection, owed: Sequence[Mapping[str, Any]]) -> None:
    """Owe letters, in one statement, to people to whom none was owed before; fields as of `owe`."""
    rows = [
        {**letter, "ready_at": letter["due_at"], "state": QUEUED, "created_at": letter["now"]}
        for letter in owed
    ]
    for row in rows:
        del row["now"]
    insert_many(connection, letters, rows)


def _owed_anew(statement: Insert) -> Insert:
    return statement.on_conflict_do_update(
        index_elements=["registrant", "kind", "occasion"],
        set_={
            "state": QUEUED,
            "ready_at": statement.excluded.ready_at,
            "worth_until": statement.excluded.worth_until,
            "reason": None,
            "detail": None,
        },
        where=and_(letters.c.state == DROPPED, letters.c.reason.in_(_SEEMED_GONE)),
    )


def owe_reminder(
    connection: Connection,
    *,
    focus_group: str,
    kind: str,
    start_at: datetime,
    due_at: datetime,
    worth_until: datetime,
    now: datetime,
    told_since: int | None = None,
    state: str = QUEUED,
    reason: str | None = None,
    detail: str | None = None,
) -> int:
    """Owe a reminder to everyone approved since `due_at` or before; returns how many are new.

    Who registered after the reminder fell due is not owed it: the confirmation said all.
    `told_since`: only to those of whom an event tells that is newer than the one of this number.
    """
    when = UtcDateTime()
    who = select(
        registrants.c.id,
        registrants.c.focus_group,
        literal(kind),
        literal(occasion_of(start_at)),
        registrants.c.episode,
        literal(start_at, when),
        literal(due_at, when),
        literal(due_at, when),
        literal(worth_until, when),
        literal(state),
        literal(reason),
        literal(detail),
        literal(now, when),
    ).where(owed_reminder(focus_group, due_at))
    if told_since is not None:
        who = who.where(was_told_of(focus_group, told_since))
    columns = (
        "registrant",
        "focus_group",
        "kind",
        "occasion",
        "episode",
        "start_at",
        "due_at",
        "ready_at",
        "worth_until",
        "state",
        "reason",
        "detail",
        "created_at",
    )
    statement = insert(connection, letters).from_select(columns, who)
    statement = _owed_anew(statement) if state == QUEUED else statement.on_conflict_do_nothing()
    return connection.execute(statement).rowcount


def look_at_everyone(connection: Connection) -> None:
    """Events were deleted, whose numbers may come again: who is owed what is found out anew."""
    connection.execute(delete(meta).where(meta.c.key.startswith(LOOKS)))


def left_since(connection: Connection, registrant: int, kind: str, since: datetime) -> bool:
    """Whether a letter of this kind has left that was begun at `since` or later."""
    found = select(letters.c.id).where(
        letters.c.registrant == registrant,
        letters.c.kind == kind,
        letters.c.state == SENT,
        letters.c.claimed_at >= since,
    )
    return connection.execute(found.limit(1)).first() is not None


def owed_reminder(focus_group: str, due_at: datetime) -> ColumnElement[bool]:
    """Which registrants a reminder due at `due_at` is owed to."""
    return and_(
        registrants.c.focus_group == focus_group,
        registrants.c.status == "approved",
        registrants.c.registered_at <= due_at,
        registrants.c.approved_at <= due_at,
    )


def was_told_of(focus_group: str, since: int) -> ColumnElement[bool]:
    """Of which registrants an event tells that is newer than the one of this number."""
    told = registrants.alias("told_of")
    newer = (
        select(told.c.id)
        .join(events, events.c.email_folded == told.c.email_folded)
        .where(events.c.id > since, told.c.focus_group == focus_group)
    )
    return registrants.c.id.in_(newer)


def occasion_of(start_at: datetime) -> str:
    """What makes a reminder unique: the start that it reminds of."""
    return start_at.strftime("%Y-%m-%dT%H:%MZ")


def is_under_way(connection: Connection, letter: int, *, attempt: int) -> bool:
    """Whether a letter is `sending`, by this very attempt."""
    this = select(letters.c.id).where(letters.c.id == letter, letters.c.state == SENDING)
    return connection.execute(this.where(*_of(attempt))).first() is not None


def failed(
    connection: Connection, letter: int, *, reason: str, detail: str, attempt: int | None = None
) -> bool:
    """sending → failed: it would be refused again. `attempt`: only if this is still the one."""
    which = _of(attempt)
    return _move(connection, letter, SENDING, *which, state=FAILED, reason=reason, detail=detail)


def put_back(
    connection: Connection,
    letter: int,
    *,
    ready_at: datetime,
    reason: str,
    detail: str,
    attempt: int | None = None,
) -> bool:
    """sending → queued: nothing left, try again at `ready_at`. `attempt` as of `failed`."""
    values = {"state": QUEUED, "ready_at": ready_at, "reason": reason, "detail": detail}
    return _move(connection, letter, SENDING, *_of(attempt), **values)


def give_back(
    connection: Connection, letter: int, *, claimed_at: datetime | None, attempt: int
) -> bool:
    """sending → queued, if it is still this claim: it was never begun."""
    this = letters.c.claimed_at == claimed_at
    return _move(
        connection, letter, SENDING, this, *_of(attempt), state=QUEUED, attempts=attempt - 1
    )


def doubt(
    connection: Connection, letter: int, *, reason: str, detail: str, attempt: int | None = None
) -> bool:
    """sending → in_doubt: it may have been accepted. `attempt` as of `failed`."""
    which = _of(attempt)
    return _move(connection, letter, SENDING, *which, state=IN_DOUBT, reason=reason, detail=detail)


def _of(attempt: int | None) -> tuple[ColumnElement[bool], ...]:
    return () if attempt is None else (letters.c.attempts == attempt,)


def drop(connection: Connection, letter: int, *, reason: str, detail: str | None = None) -> bool:
    """queued → dropped, with the reason that staff will read."""
    return _move(connection, letter, QUEUED, state=DROPPED, reason=reason, detail=detail)


def drop_by_hand(connection: Connection, letter: int, *, detail: str) -> bool:
    """queued, failed or in_doubt → dropped, because staff said so."""
    return _move(
        connection,
        letter,
        (QUEUED, FAILED, IN_DOUBT),
        state=DROPPED,
        reason="dropped_by_hand",
        detail=detail,
    )


def drop_all_of(connection: Connection, registrant: int, *, reason: str) -> int:
    """Nothing of what a person is still owed goes out any more; returns how many letters."""
    statement = (
        update(letters)
        .where(letters.c.registrant == registrant, letters.c.state.in_((QUEUED, FAILED, IN_DOUBT)))
        .values(state=DROPPED, reason=reason, detail=None)
    )
    return connection.execute(statement).rowcount


def wait(connection: Connection, letter: int, *, ready_at: datetime, reason: str) -> bool:
    """A queued letter stays queued until `ready_at`, with the reason."""
    return _move(connection, letter, QUEUED, ready_at=ready_at, reason=reason)


def once_more(connection: Connection, letter: int, *, now: datetime) -> bool:
    """in_doubt → queued, the one time that this is allowed by itself."""
    return _move(
        connection,
        letter,
        IN_DOUBT,
        letters.c.recoveries == 0,
        state=QUEUED,
        ready_at=now,
        recoveries=letters.c.recoveries + 1,
    )


def by_hand(
    connection: Connection, letter: int, *, now: datetime, worth_until: datetime, detail: str
) -> bool:
    """failed, dropped or in_doubt → queued, because staff said so."""
    return _move(
        connection,
        letter,
        (FAILED, DROPPED, IN_DOUBT),
        state=QUEUED,
        ready_at=now,
        worth_until=worth_until,
        attempts=0,
        reason="by_hand",
        detail=detail,
    )


def copy_by_hand(
    connection: Connection, letter: Any, *, now: datetime, worth_until: datetime, detail: str
) -> int:
    """A letter that was sent goes once more, as a letter of its own; returns its id.

    Copies go by their number and by when they were asked for, because a restore would give the
    number out again: under a Message-ID that it has seen, a mail program hides what comes.
    """
    first = letter.occasion.partition(" copy ")[0]
    copies = connection.execute(
        select(func.count())
        .select_from(letters)
        .where(
            letters.c.registrant == letter.registrant,
            letters.c.kind == letter.kind,
            letters.c.occasion.startswith(first),
        )
    ).scalar_one()
    values = {
        "registrant": letter.registrant,
        "focus_group": letter.focus_group,
        "kind": letter.kind,
        "occasion": f"{first} copy {copies} {now:%Y%m%dT%H%M%S%f}",
        "episode": letter.episode,
        "start_at": letter.start_at,
        "due_at": now,
        "ready_at": now,
        "worth_until": worth_until,
        "state": QUEUED,
        "reason": "by_hand",
        "detail": detail,
        "created_at": now,
    }
    statement = letters.insert().values(values).returning(letters.c.id)
    return int(connection.execute(statement).scalar_one())


def found_sending(connection: Connection) -> list[Row[tuple[object, ...]]]:
    """Letters that a stopped service left in the middle of sending."""
    return list(connection.execute(select(letters).where(letters.c.state == SENDING)))


def next_ready_at(connection: Connection) -> datetime | None:
    """When the next queued letter may leave."""
    return connection.execute(
        select(func.min(letters.c.ready_at)).where(letters.c.state == QUEUED)
    ).scalar()


def next_ready_of(connection: Connection, focus_group: str, kind: str) -> datetime | None:
    """When the next queued letter of a kind to a group may leave: the first in the queue."""
    found = (
        select(letters.c.ready_at)
        .where(
            letters.c.state == QUEUED,
            letters.c.focus_group == focus_group,
            letters.c.kind == kind,
        )
        .order_by(letters.c.ready_at)
    )
    return connection.scalar(found.limit(1))


def _move(
    connection: Connection,
    letter: int,
    leaves: str | tuple[str, ...],
    *conditions: ColumnElement[bool],
    **values: object,
) -> bool:
    states = (leaves,) if isinstance(leaves, str) else leaves
    statement = (
        update(letters)
        .where(letters.c.id == letter, letters.c.state.in_(states), *conditions)
        .values(**values)
    )
    return connection.execute(statement).rowcount == 1


_BACK_OFF = (1, 5, 15, 30)


def retry_at(now: datetime, attempts: int) -> datetime:
    """When to try again after `attempts` tries: 1, 5, 15, 30 minutes, then hourly."""
    minutes = _BACK_OFF[attempts - 1] if attempts <= len(_BACK_OFF) else 60
    return now + timedelta(minutes=minutes)
