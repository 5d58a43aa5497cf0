"""What we were told about registrants (events) and what it adds up to (registrants): queries."""

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, select, update

from resonance_zoom.store.direct import find, insert_many
from resonance_zoom.store.tables import events, registrants

A_PAGE = 500  # so many values at most in one statement
Person = tuple[str, str]  # focus group and folded address: one registration

# Statements of the hot path, built once: to build one costs more than to run it.
_CHANGE = update(registrants).where(registrants.c.id == bindparam("b_id"))
_KEYS = select(events.c.key).where(events.c.key.in_(bindparam("keys", expanding=True)))
_OF = {
    table: select(table).where(
        table.c.focus_group.in_(bindparam("groups", expanding=True)),
        table.c.email_folded.in_(bindparam("addresses", expanding=True)),
    )
    for table in (registrants, events)
}
_ERASED = select(registrants.c.id).where(
    registrants.c.id.in_(bindparam("ids", expanding=True)), registrants.c.email == ""
)
_IDS = _OF[registrants].with_only_columns(
    registrants.c.focus_group, registrants.c.email_folded, registrants.c.id
)
_SHOWN = select(
    registrants.c.email_folded,
    registrants.c.registered_at,
    registrants.c.status,
    registrants.c.join_url,
    registrants.c.first_name,
    registrants.c.last_name,
).where(
    registrants.c.focus_group == bindparam("group"),
    registrants.c.email_folded.in_(bindparam("addresses", expanding=True)),
    registrants.c.absent_since.is_(None),
)


def fold(email: str) -> str:
    """An address as we compare it: one person however they type it."""
    return email.strip().lower()


class _WithoutMarks(dict[int, int | None]):
    """For `str.translate`: drops what only marks the letter before it."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.combining(chr(code)) else code
        return self[code]


_WITHOUT_MARKS = _WithoutMarks()


def sought(*words: str) -> str:
    """Words as a search compares them, without accents or case: `É. Œuvrard` is `e. oeuvrard`."""
    text = " ".join(words).casefold()
    if text.isascii():
        return text
    text = text.replace("œ", "oe").replace("æ", "ae")
    return unicodedata.normalize("NFKD", text).translate(_WITHOUT_MARKS)


def known_keys(connection: Connection, keys: Collection[str]) -> set[str]:
    """Those of the keys under which an event is kept."""
    return {row.key for row in find(connection, _KEYS, {"keys": [*keys]})}


def add_events(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep events that are not kept yet."""
    insert_many(connection, events, rows)


def newest_event(connection: Connection) -> int:
    """The number of the event that was kept last, 0 before the first."""
    return connection.scalar(select(func.max(events.c.id))) or 0


def histories(
    connection: Connection, persons: Collection[Person]
) -> dict[Person, list[Row[tuple[Any, ...]]]]:
    """Every event of each of these persons, in no order: one statement."""
    found: dict[Person, list[Row[tuple[Any, ...]]]] = {person: [] for person in persons}
    for row in _of(connection, _OF[events], persons):
        if (row.focus_group, row.email_folded) in found:
            found[row.focus_group, row.email_folded].append(row)
    return found


def known(
    connection: Connection, persons: Collection[Person]
) -> dict[Person, Row[tuple[Any, ...]]]:
    """Those of the persons of whom anything is known: one statement."""
    rows = _of(connection, _OF[registrants], persons)
    return {(row.focus_group, row.email_folded): row for row in rows}


def _of(
    connection: Connection, statement: Select[Any], persons: Collection[Person]
) -> Iterable[Any]:
    if not persons:
        return ()
    # Groups and addresses apart, which the index answers at once; a pair that was not asked for
    # (the same person in another group) is for the caller to pass over.
    groups, addresses = (list(dict.fromkeys(names)) for names in zip(*persons, strict=True))
    return find(connection, statement, {"groups": groups, "addresses": addresses})


def save(
    connection: Connection,
    states: Mapping[Person, Mapping[str, Any]],
    *,
    known: Mapping[Person, int],
) -> dict[Person, int]:
    """Write what is known of persons, in place of what was; {person: our id}.

    `known`: the ids of those who have a row already. Whoever is written was just heard of, and is
    not absent.
    """
    rows = {person: _row(person, state) for person, state in states.items()}
    changes = [{"b_id": known[person], **row} for person, row in rows.items() if person in known]
    if changes:
        connection.execute(_CHANGE, changes)
    additions = {person: row for person, row in rows.items() if person not in known}
    if not additions:
        return dict(known)
    insert_many(connection, registrants, list(additions.values()))
    found = _of(connection, _IDS, additions)
    return {**known, **{(group, folded): number for group, folded, number in found}}


def _row(person: Person, state: Mapping[str, Any]) -> dict[str, Any]:
    words = sought(state["first_name"], state["last_name"], state["email"])
    group, folded = person
    return {
        "focus_group": group,
        "email_folded": folded,
        **state,
        "absent_since": None,
        "sought": words,
    }


def shown(
    connection: Connection, focus_group: str, addresses: Collection[str]
) -> Iterable[Row[str, datetime, str, str | None, str, str]]:
    """Address, registration, status, link and names of those in the last list: one statement.

    What a line of Zoom's lists shows, and nothing else: for 100,000 people every column counts.
    """
    if not addresses:
        return ()
    return connection.execute(_SHOWN, {"group": focus_group, "addresses": [*addresses]}).all()


def active_addresses(connection: Connection, focus_group: str) -> Sequence[Row[int, str]]:
    """(our id, folded address) of everyone approved or pending in the group."""
    return connection.execute(
        select(registrants.c.id, registrants.c.email_folded).where(
            registrants.c.focus_group == focus_group,
            registrants.c.status.in_(("approved", "pending")),
        )
    ).all()


def with_ids(connection: Connection, ids: Sequence[int]) -> list[Row[tuple[Any, ...]]]:
    """The registrants with these of our ids."""
    rows: list[Row[tuple[Any, ...]]] = []
    for page in _pages(ids):
        rows += connection.execute(select(registrants).where(registrants.c.id.in_(page)))
    return rows


def erased(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Those of the registrants whose data were erased."""
    return set(connection.scalars(_ERASED, {"ids": [*ids]})) if ids else set()


def _pages(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[first : first + A_PAGE] for first in range(0, len(ids), A_PAGE))


def mark_absent(connection: Connection, ids: Sequence[int], since: datetime | None) -> None:
    """They lacked in a complete listing since `since`; None: they are in it (again)."""
    for page in _pages(ids):
        connection.execute(
            update(registrants).where(registrants.c.id.in_(page)).values(absent_since=since)
        )


def with_email(connection: Connection, email: str) -> Sequence[Row[tuple[Any, ...]]]:
    """One person's registrations over all groups."""
    return connection.execute(
        select(registrants)
        .where(registrants.c.email_folded == fold(email))
        .order_by(registrants.c.focus_group)
    ).all()
