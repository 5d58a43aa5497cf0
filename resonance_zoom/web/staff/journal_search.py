"""Finds lines of a journal of any length within a bounded number of looks, whatever is asked for.

Every filter but the period is a few equalities, and each has an index that ends with the line's
number: read backwards it yields the newest lines at once, with nothing to sort or count. What the
other filters leave out is passed over, and that is where a rare combination could cost the whole
journal. So each index that may lead is given a share of looks; the first that comes to an end
answers, and where none does the page says how far it looked and offers to go on from there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, func, select, true

from resonance_zoom.store.journal import DEBUG, ERROR, INFO, WARNING
from resonance_zoom.store.people import sought
from resonance_zoom.store.tables import journal, meetings, registrants

LOOKS = 40_000  # lines that one index may pass over for one page
MOST_PEOPLE = 100
# Lines are numbered as they are written, their hours may lie a little apart: a sweep dates what it
# finds by its beginning, and a clock that was wrong is put right.
SLACK = timedelta(hours=1)
SHOWN_LEVELS = (INFO, WARNING, ERROR)
LEVELS = (*SHOWN_LEVELS, DEBUG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lines: None where anything goes. `since` ≤ line < `until`, aware."""

    groups: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    levels: tuple[str, ...] | None = SHOWN_LEVELS
    people: tuple[int, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def equalities(self) -> Iterator[tuple[Column[Any], tuple[Any, ...]]]:
        """The filters that an index can lead, what leaves out most first."""
        for column, values in (
            (journal.c.registrant, self.people),
            (journal.c.kind, self.kinds),
            (journal.c.focus_group, self.groups),
            (journal.c.level, self.levels),
        ):
            if values is not None:
                yield column, values


@dataclass(frozen=True, slots=True)
class Found:
    """Numbers of lines, in the order of the search. `more`: there are more of them.

    `looked_to`: no line beyond this number was looked at, None when nothing was left out.
    """

    ids: tuple[int, ...] = ()
    more: bool = False
    looked_to: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One search: between which numbers (both included), from which end, how many lines."""

    wanted: Wanted
    lowest: int
    highest: int
    backwards: bool
    limit: int
    looks: int

    def order(self, column: ColumnElement[int]) -> ColumnElement[int]:
        return column.desc() if self.backwards else column.asc()

    def up_to(self, number: int) -> "_Way":
        """The same search, ending there."""
        if self.backwards:
            return replace(self, lowest=number)
        return replace(self, highest=number)

    def within(self) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return journal.c.id >= self.lowest, journal.c.id <= self.highest


def find(
    connection: Connection,
    wanted: Wanted,
    *,
    limit: int,
    before: int | None = None,
    after: int | None = None,
    looks: int = LOOKS,
) -> Found:
    """The `limit` newest lines before a number (or of all); or the oldest after one, oldest first.

    At most `looks` lines are looked at through each index that can lead.
    """
    lowest, highest = _span(connection, wanted)
    way = _Way(
        wanted=wanted,
        lowest=lowest if after is None else max(lowest, after + 1),
        highest=highest if before is None else min(highest, before - 1),
        backwards=after is None,
        limit=limit + 1,
        looks=looks,
    )
    if way.lowest > way.highest:
        return Found()
    best: Found | None = None
    for leader in (*wanted.equalities(),) or (None,):
        found = _led_by(connection, way, leader)
        if found.looked_to is None:
            return found
        if best is None or _farther(found, best, backwards=way.backwards):
            best = found
    return best or Found()


def _farther(one: Found, other: Found, *, backwards: bool) -> bool:
    here, there = one.looked_to or 0, other.looked_to or 0
    return here < there if backwards else here > there


def _span(connection: Connection, wanted: Wanted) -> tuple[int, int]:
    """Between which numbers the lines of the period lie, a little too wide."""
    by_time = (journal.c.at, journal.c.id)
    newest_first = (journal.c.at.desc(), journal.c.id.desc())
    lowest = highest = None
    if wanted.since is not None:
        earlier = select(journal.c.id).where(journal.c.at < wanted.since - SLACK)
        lowest = connection.execute(earlier.order_by(*newest_first).limit(1)).scalar()
    if wanted.until is not None:
        later = select(journal.c.id).where(journal.c.at >= wanted.until + SLACK)
        highest = connection.execute(later.order_by(*by_time).limit(1)).scalar()
    if highest is None:
        highest = connection.execute(select(func.max(journal.c.id))).scalar() or 0
    return lowest or 1, highest


def _led_by(
    connection: Connection, way: _Way, leader: tuple[Column[Any], tuple[Any, ...]] | None
) -> Found:
    """The lines that one index leads to, merged over the values asked for."""
    values: Sequence[Any] = (None,) if leader is None else leader[1]
    column = None if leader is None else leader[0]
    looks = max(way.looks // max(len(values), 1), way.limit)
    others = [pair for pair in way.wanted.equalities() if pair[0] is not column]
    ids: list[int] = []
    edges: list[int] = []
    for value in values:
        lines = select(journal.c.id).where(column == value if column is not None else true())
        edge = connection.execute(_edge(way, lines, looks)).scalar() if others else None
        stream = list(connection.execute(_stream(way, lines, others, edge)).scalars())
        if edge is not None and len(stream) < way.limit:
            edges.append(edge)
        ids = sorted(ids + stream, reverse=way.backwards)[: way.limit]
        if len(ids) == way.limit:  # what the other values have beyond is of no interest
            way = way.up_to(ids[-1])
    return _cut(way, ids, edges)


def _cut(way: _Way, ids: list[int], edges: list[int]) -> Found:
    """What is certain: up to where the first of the streams ran out of looks."""
    shown = way.limit - 1
    if edges:
        edge = max(edges) if way.backwards else min(edges)
        certain = [one for one in ids if (one >= edge if way.backwards else one <= edge)]
        if len(certain) < way.limit:
            return Found(tuple(certain[:shown]), looked_to=edge)
        ids = certain
    return Found(tuple(ids[:shown]), more=len(ids) > shown)


def _edge(way: _Way, lines: Select[int], looks: int) -> Select[int]:
    """The last line that may be looked at; none when the index ends before that."""
    within = lines.where(*way.within()).order_by(way.order(journal.c.id))
    return within.limit(1).offset(looks - 1)


def _stream(
    way: _Way,
    lines: Select[int],
    others: Sequence[tuple[Column[Any], tuple[Any, ...]]],
    edge: int | None,
) -> Select[int]:
    """Those that every other filter lets pass, up to the edge, in the order of the index.

    `_unled` keeps the database from being led by another column than ours, which may be a detour
    over the whole journal.
    """
    wanted = way.wanted
    passed: list[ColumnElement[bool]] = [_unled(name).in_(values) for name, values in others]
    if wanted.since is not None:
        passed.append(_unled(journal.c.at) >= wanted.since)
    if wanted.until is not None:
        passed.append(_unled(journal.c.at) < wanted.until)
    if edge is not None:
        way = way.up_to(edge)
    return lines.where(*way.within(), *passed).order_by(way.order(journal.c.id)).limit(way.limit)


def _unled(column: Column[Any]) -> ColumnElement[Any]:
    """The same value, for which no index is of use."""
    return func.coalesce(column, column)


def kinds(connection: Connection) -> list[str]:
    """Every kind that the journal holds: one step in the index for each, not one for each line."""
    first = select(func.min(journal.c.kind).label("kind"))
    steps = first.cte("kinds", recursive=True)
    following = select(func.min(journal.c.kind)).where(journal.c.kind > steps.c.kind)
    steps = steps.union_all(select(following.scalar_subquery()).where(steps.c.kind.is_not(None)))
    return list(connection.execute(select(steps.c.kind).where(steps.c.kind.is_not(None))).scalars())


def groups(connection: Connection) -> list[str]:
    """The focus groups that ever had a meeting, also those that the file no longer has."""
    return list(
        connection.execute(select(meetings.c.focus_group).order_by(meetings.c.start_at)).scalars()
    )


def people(connection: Connection, words: str) -> tuple[int, ...]:
    """Our numbers of those whom `words` mean: one number, or parts of a name or an address.

    At most `MOST_PEOPLE` + 1, the last to register first.
    """
    if words.isdecimal() and len(words) <= 18:
        number = select(registrants.c.id).where(registrants.c.id == int(words))
        if connection.execute(number).first() is not None:
            return (int(words),)
    parts = sought(words).split()
    if not parts:
        return ()
    found = select(registrants.c.id).where(
        *(registrants.c.sought.contains(part, autoescape=True) for part in parts)
    )
    newest = found.order_by(registrants.c.id.desc()).limit(MOST_PEOPLE + 1)
    return tuple(connection.execute(newest).scalars())


def rows(connection: Connection, ids: Sequence[int]) -> list[Any]:
    """The lines of these numbers, newest first, with the name of the person they speak of."""
    return list(
        connection.execute(
            select(
                journal,
                registrants.c.first_name,
                registrants.c.last_name,
                registrants.c.email,
            )
            .outerjoin(registrants, registrants.c.id == journal.c.registrant)
            .where(journal.c.id.in_(ids))
            .order_by(journal.c.id.desc())
        )
    )
