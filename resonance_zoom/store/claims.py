"""The letters at hand: which are ready, with all that decides about them, and that they have left.

The hot path of a wave: one statement for many letters, and each statement built once, because to
build one costs more than to run it.
"""

from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, func, select, update

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


def _row_of(table: Table) -> Any:
    return namedtuple(table.name.capitalize(), table.c.keys())


_Letter, _Registrant, _Meeting = (_row_of(table) for table in (letters, registrants, meetings))
_LETTERS, _PEOPLE = len(letters.c), len(letters.c) + len(registrants.c)
_NOW = bindparam("now", type_=UtcDateTime())
_READY = (
    select(letters, registrants, meetings)
    .join(registrants, registrants.c.id == letters.c.registrant)
    .join(meetings, meetings.c.focus_group == letters.c.focus_group)
    .where(letters.c.state == QUEUED, letters.c.ready_at <= _NOW)
    .order_by(letters.c.ready_at, letters.c.id)
    .limit(bindparam("most"))
)
_OTHERS = (
    select(registrants.c.email_folded, meetings)
    .join(registrants, registrants.c.focus_group == meetings.c.focus_group)
    .where(
        registrants.c.email_folded.in_(bindparam("addresses", expanding=True)),
        registrants.c.status == "approved",
        meetings.c.start_at > _NOW,
        meetings.c.cancelled_at.is_(None),
    )
    .order_by(meetings.c.start_at)
)
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


def count_ready(connection: Connection, now: datetime, *, most: int) -> int:
    """How many letters could leave now, counted up to `most`."""
    return int(connection.execute(_COUNT, {"now": now, "most": most}).scalar_one())


def ready(connection: Connection, now: datetime, *, limit: int) -> list[Claim]:
    """The queued letters that have been ready for longest, each with its person and meeting."""
    found = [
        (
            _Letter(*row[:_LETTERS]),
            _Registrant(*row[_LETTERS:_PEOPLE]),
            _Meeting(*row[_PEOPLE:]),
        )
        for row in connection.execute(_READY, {"now": now, "most": limit})
    ]
    others = _others_of_all(connection, [person for _, person, _ in found], now)
    return [
        Claim(
            letter,
            person,
            meeting,
            _but(others.get(person.email_folded, ()), person.focus_group),
            told_start(connection, person.id) if letter.kind == "moved" else None,
        )
        for letter, person, meeting in found
    ]


def others_of(connection: Connection, person: Any, now: datetime) -> tuple[Any, ...]:
    """The meetings to come, but this one, for which a registrant is registered as well."""
    found = _others_of_all(connection, [person], now)
    return _but(found.get(person.email_folded, ()), person.focus_group)


def _others_of_all(
    connection: Connection, persons: Sequence[Any], now: datetime
) -> dict[str, list[Any]]:
    addresses = list(dict.fromkeys(person.email_folded for person in persons))
    found: dict[str, list[Any]] = {}
    if addresses:
        for address, *meeting in connection.execute(_OTHERS, {"addresses": addresses, "now": now}):
            found.setdefault(address, []).append(_Meeting(*meeting))
    return found


def _but(found: Sequence[Any], focus_group: str) -> tuple[Any, ...]:
    return tuple(meeting for meeting in found if meeting.focus_group != focus_group)


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
    """queued → sending, before the first byte of any of them."""
    rows = [
        {"letter": claim.letter.id, "now": now, "its_message_id": message_id}
        for claim, message_id in zip(claims, message_ids, strict=True)
    ]
    if rows:
        connection.execute(_BEGIN, rows)


def sent(connection: Connection, accepted: Sequence[tuple[int, datetime, str]]) -> None:
    """sending → sent, with the server's words: (letter, when, words)."""
    rows = [{"letter": letter, "now": at, "reply": words} for letter, at, words in accepted]
    if rows:
        connection.execute(_SENT, rows)
