"""The letters at hand: which are ready, with all that decides about them, and that they have left.

The hot path of a wave: one statement for many letters, and each statement built once, because to
build one costs more than to run it.
"""

from collections import namedtuple
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Select, bindparam, func, select, update

from resonance_zoom.store.direct import find, update_many
from resonance_zoom.store.outbox import IN_DOUBT, MANY_TODAY, QUEUED, SENDING, SENT
from resonance_zoom.store.tables import UtcDateTime, letters, meetings, registrants

WITHOUT_START = ("cancelled", "withdrawn")  # letters that name no start to come to


@dataclass(frozen=True, slots=True)
class Claim:
    """A letter at hand, with all that decides whether and what to send."""

    letter: Any  # rows
    registrant: Any
    meeting: Any
    others: tuple[Any, ...]  # the person's other meetings to come
    told_start: datetime | None = None  # of which the last letter spoke
    last_end: datetime | None = None  # of all meetings that will be: data are kept from then on
    erasures: int = 0  # that there had been: whether its person was erased since


def _row_of(name: str, columns: Iterable[Column[Any]]) -> Any:
    return namedtuple(name, [column.key for column in columns])


# What letters say of a meeting; the rest of its row is for those who compare it with Zoom.
_OF_A_MEETING = (
    meetings.c.focus_group,
    meetings.c.state,
    meetings.c.zoom_meeting_id,
    meetings.c.topic,
    meetings.c.start_at,
    meetings.c.end_at,
    meetings.c.revision,
    meetings.c.cancelled_at,
    meetings.c.former_start,
    meetings.c.former_end,
    meetings.c.dial_in,
)
_Letter = _row_of("Letter", letters.c)
_Registrant = _row_of("Registrant", registrants.c)
_LETTERS, _PEOPLE = len(letters.c), len(letters.c) + len(registrants.c)
_NOW = bindparam("now", type_=UtcDateTime())
_elsewhere = registrants.alias()


def _groups_of(address: Any) -> Select[str | None]:
    """The focus groups in which an address holds a place, with a space between two."""
    return select(func.aggregate_strings(_elsewhere.c.focus_group, " ")).where(
        _elsewhere.c.email_folded == address, _elsewhere.c.status == "approved"
    )


_READY = (
    select(letters, registrants, _groups_of(registrants.c.email_folded).scalar_subquery())
    .join(registrants, registrants.c.id == letters.c.registrant)
    .join(meetings, meetings.c.focus_group == letters.c.focus_group)
    .where(letters.c.state == QUEUED, letters.c.ready_at <= _NOW)
    .order_by(letters.c.ready_at, letters.c.id)
    .limit(bindparam("most"))
)
_GROUPS = _groups_of(bindparam("address"))
_MEETINGS = select(*_OF_A_MEETING).order_by(meetings.c.start_at)
_COUNT = select(func.count()).select_from(
    select(letters.c.id)
    .where(letters.c.state == QUEUED, letters.c.ready_at <= _NOW)
    .limit(bindparam("most"))
    .subquery()
)
_BEGIN = (
    update(letters)
    .where(letters.c.id == bindparam("letter"), letters.c.state == QUEUED)
    .values(
        state=SENDING,
        claimed_at=_NOW,
        start_at=bindparam("its_start", type_=UtcDateTime()),
        message_id=bindparam("its_message_id"),
        attempts=letters.c.attempts + 1,
        reason=None,
        detail=None,
        bounce=None,
        bounced_at=None,
        bounce_status=None,
        bounce_detail=None,
    )
)
_SENT = (
    update(letters)
    .where(letters.c.id == bindparam("letter"), letters.c.state == SENDING)
    .values(state=SENT, sent_at=_NOW, reason=None, detail=bindparam("reply"))
)


def count_ready(connection: Connection, now: datetime, *, most: int = 1_000_000) -> int:
    """How many letters could leave now, counted up to `most`."""
    return int(connection.execute(_COUNT, {"now": now, "most": most}).scalar_one())


def ready(connection: Connection, now: datetime, *, limit: int, erasures: int = 0) -> list[Claim]:
    """The queued letters that have been ready for longest, each with its person and meeting."""
    rows = find(connection, _READY, {"now": now, "most": limit})
    if not rows:
        return []
    known = _meetings(connection)
    last = _last_end(known)
    return [
        Claim(
            letter := _Letter(*row[:_LETTERS]),
            person := _Registrant(*row[_LETTERS:_PEOPLE]),
            known[letter.focus_group],
            _to_come(known, row[_PEOPLE], person.focus_group, now),
            told_start(connection, person.id) if letter.kind == "moved" else None,
            last,
            erasures,
        )
        for row in rows
    ]


def last_end(connection: Connection) -> datetime | None:
    """When the last meeting ends that Zoom holds and nobody called off; None without any."""
    return _last_end(_meetings(connection))


def _last_end(known: Mapping[str, Any]) -> datetime | None:
    ends = (row.end_at for row in known.values() if row.end_at and row.cancelled_at is None)
    return max(ends, default=None)


def others_of(connection: Connection, person: Any, now: datetime) -> tuple[Any, ...]:
    """The meetings to come, but this one, for which a registrant is registered as well."""
    groups = connection.scalar(_GROUPS, {"address": person.email_folded})
    return _to_come(_meetings(connection), groups, person.focus_group, now)


def _meetings(connection: Connection) -> dict[str, Any]:
    """By focus group, the first to come first."""
    return {row.focus_group: row for row in find(connection, _MEETINGS)}


def _to_come(
    known: Mapping[str, Any], groups: str | None, but: str, now: datetime
) -> tuple[Any, ...]:
    if groups is None or groups == but:
        return ()
    theirs = {*groups.split(" ")} - {but}
    return tuple(
        meeting
        for group, meeting in known.items()
        if group in theirs
        and meeting.start_at is not None
        and meeting.start_at > now
        and meeting.cancelled_at is None
    )


def told_start(connection: Connection, registrant: int) -> datetime | None:
    """The start of which the last letter spoke that left for a registrant."""
    return connection.scalar(last_told_start(registrant))


def last_told_start(registrant: Any) -> Select[datetime]:
    """The same as a query, of an id or a column."""
    return (
        select(letters.c.start_at)
        .where(
            letters.c.registrant == registrant,
            letters.c.state.in_((SENT, SENDING, IN_DOUBT)),  # they have it, or may have it
            func.coalesce(letters.c.reason, "") != MANY_TODAY,  # but for what has not gone
            letters.c.kind.not_in(WITHOUT_START),
        )
        .order_by(letters.c.claimed_at.desc(), letters.c.id.desc())
        .limit(1)
    )


def begin(
    connection: Connection, claims: Sequence[Claim], *, now: datetime, message_ids: Sequence[str]
) -> None:
    """queued → sending, before the first byte of any of them.

    A confirmation may have waited over a move: the start is the one of which it is about to speak.
    """
    rows = [
        {
            "letter": claim.letter.id,
            "now": now,
            "its_start": claim.meeting.start_at,
            "its_message_id": message_id,
        }
        for claim, message_id in zip(claims, message_ids, strict=True)
    ]
    update_many(connection, _BEGIN, rows)


def sent(connection: Connection, accepted: Sequence[tuple[int, datetime, str]]) -> None:
    """sending → sent, with the server's words: (letter, when, words)."""
    rows = [{"letter": letter, "now": at, "reply": words} for letter, at, words in accepted]
    update_many(connection, _SENT, rows)
