"""Chains the acts in the journal by digests, so that a line changed past the service is found.

Every act (`staff.…`) adds an entry: a digest of its line, and a digest of that and of the entry
before. Entries are only ever added. Where an erasure takes an address out of a line, one more entry
says so and holds the line's new digest: the older entries stay, and with them every head that
somebody kept elsewhere. A line's digest is salted, and the salt goes with what was erased: nobody
can try addresses against it.

The chain has no key: who may write to the database can make all of it anew. That is what the head
is for: kept on another machine, it shows that as well.
"""

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from resonance_zoom.store.tables import journal, meta, staff_act_chain

ACTS = "staff."  # what the kinds of all acts begin with
HEAD = "staff_acts"  # in `meta`: how many entries there are, and the last one's digest
ACT, ADOPTED, REWRITTEN = "act", "adopted", "rewritten"  # adopted: older than the chain
ERASING = frozenset({"staff.erase", "staff.purge", "staff.close", "staff.restore"})

# Named one by one: a column that comes later changes no digest of today's lines.
_LINE = select(
    journal.c.id,
    journal.c.at,
    journal.c.level,
    journal.c.kind,
    journal.c.focus_group,
    journal.c.registrant,
    journal.c.message,
    journal.c.data,
)
_ENTRIES = select(staff_act_chain)
_IS_ACT = journal.c.kind.startswith(ACTS)


@dataclass(frozen=True, slots=True)
class _Head:
    """How many entries there are, and the digest of the last."""

    entries: int
    digest: str


@dataclass(frozen=True, slots=True)
class Examined:
    """How many acts the journal holds, the head of their chain, and what is wrong with them."""

    acts: int
    head: str
    problems: tuple[str, ...]


def is_act(kind: str) -> bool:
    """Whether a line of this kind says what somebody did."""
    return kind.startswith(ACTS)


def add(connection: Connection, line: int, what: str = ACT) -> None:
    """Add the entry of a journal line, as it stands in the database now.

    It goes on from the noted head, not from the last entry: what was cut off stays a gap, however
    many acts come after.
    """
    head_row = select(meta.c.value).where(meta.c.key == HEAD)
    # Where several processes write at once, the row is theirs who hold it. SQLite, where a writing
    # transaction is alone, is asked for no lock.
    noted = _noted(connection.execute(head_row.with_for_update()).scalar())
    last = _last(connection)
    # An entry that was put in past the head keeps its number: an act must never fail of it.
    entry = max((noted or last).entries, last.entries) + 1
    row = connection.execute(_LINE.where(journal.c.id == line)).one()
    salt = secrets.token_hex(16)
    content = _content(salt, row)
    digest = _digest((noted or last).digest, entry, what, line, content)
    connection.execute(
        insert(staff_act_chain).values(
            entry=entry, what=what, line=line, salt=salt, content=content, digest=digest
        )
    )
    _note(connection, _Head(entry, digest))


def adopt(connection: Connection) -> None:
    """Begin the chain with the acts that a journal holds already."""
    _note(connection, _Head(0, ""))
    for line in connection.execute(
        select(journal.c.id).where(_IS_ACT).order_by(journal.c.id)
    ).scalars().all():  # fmt: skip
        add(connection, line, ADOPTED)


def rewritten(connection: Connection, line: int) -> None:
    """An erasure changed this line; when it is an act, the chain says so from now on."""
    theirs = staff_act_chain.c.line == line
    # Before the new entry, which has a salt of its own to keep.
    if connection.execute(update(staff_act_chain).where(theirs).values(salt=None)).rowcount:
        add(connection, line, REWRITTEN)


def head(connection: Connection) -> str:
    """`NUMBER:DIGEST` of the last entry, `0:` before the first act: to be kept elsewhere."""
    last = _last(connection)
    return f"{last.entries}:{last.digest}"


def continues(connection: Connection, kept: str) -> bool:
    """Whether the chain goes on from a head that was kept elsewhere."""
    number, _, digest = kept.strip().partition(":")
    if not number.isdecimal() or len(number) > 18:
        return False
    if int(number) == 0:
        return not digest
    entry = select(staff_act_chain.c.digest).where(staff_act_chain.c.entry == int(number))
    return connection.execute(entry).scalar() == digest


def examine(connection: Connection) -> Examined:
    """Compare every act with its entry, every entry with the one before, the last with the head."""
    entries: list[Any] = list(connection.execute(_ENTRIES.order_by(staff_act_chain.c.entry)))
    chained = select(staff_act_chain.c.line)
    lines: dict[int, Any] = {
        row.id: row
        for row in connection.execute(_LINE.where(or_(_IS_ACT, journal.c.id.in_(chained))))
    }
    noted = connection.execute(select(meta.c.value).where(meta.c.key == HEAD)).scalar()
    problems = (
        *_links(entries),
        *_contents(entries, lines),
        *_reasons(entries, lines),
        *_end(entries, _noted(noted)),
    )
    acts = sum(is_act(row.kind) for row in lines.values())
    return Examined(acts, head(connection), problems)


def _links(entries: list[Any]) -> Iterator[str]:
    number, before = 0, ""
    for entry in entries:
        if entry.entry != number + 1:
            yield f"entries {number + 1} to {entry.entry - 1} of the chain were removed"
        elif entry.digest != _digest(before, entry.entry, entry.what, entry.line, entry.content):
            yield f"entry {entry.entry} of the chain, on line {entry.line}, was changed"
        number, before = entry.entry, entry.digest


def _contents(entries: list[Any], lines: dict[int, Any]) -> Iterator[str]:
    newest = {entry.line: entry for entry in entries}
    for number, entry in sorted(newest.items()):
        line = lines.get(number)
        if line is None:
            yield f"line {number} was removed"
        elif _content(entry.salt, line) != entry.content:
            yield f"{_named(line)} was changed"
    for number in sorted(lines.keys() - newest.keys()):
        yield f"{_named(lines[number])} was inserted"


def _reasons(entries: list[Any], lines: dict[int, Any]) -> Iterator[str]:
    """A line is rewritten by an act that erases, which is the next one to be told."""
    waiting: list[int] = []
    for entry in entries:
        if entry.what == REWRITTEN:
            waiting.append(entry.line)
            continue
        line = lines.get(entry.line)
        if line is None or line.kind not in ERASING:
            yield from _without_reason(waiting)
        waiting = []
    yield from _without_reason(waiting)


def _without_reason(waiting: list[int]) -> Iterator[str]:
    for number in waiting:
        yield f"line {number} was rewritten, and no erasure says why"


def _end(entries: list[Any], noted: _Head | None) -> Iterator[str]:
    """The head in `meta` was written with the last entry."""
    found = _Head(entries[-1].entry, entries[-1].digest) if entries else _Head(0, "")
    if noted is None:
        yield "the noted end of the chain was removed"
    elif found.entries < noted.entries:
        yield (
            f"the end was cut off: the chain has {found.entries} entries, and had {noted.entries}"
        )
    elif found != noted:
        yield f"the chain does not end as was noted after entry {noted.entries}"


def _named(line: Any) -> str:
    return f"line {line.id} ({line.kind}, {line.at:%Y-%m-%d %H:%M} UTC)"


def _content(salt: str | None, line: Any) -> str:
    values = (
        line.id,
        line.at.isoformat(),
        line.level,
        line.kind,
        line.focus_group,
        line.registrant,
        line.message,
        line.data,
    )
    return _sha256(salt, values)


def _digest(before: str, entry: int, what: str, line: int, content: str) -> str:
    return _sha256(before, (entry, what, line, content))


def _sha256(first: str | None, values: tuple[Any, ...]) -> str:
    canonical = json.dumps([first, *values], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _last(connection: Connection) -> _Head:
    newest = _ENTRIES.order_by(staff_act_chain.c.entry.desc()).limit(1)
    row: Any = connection.execute(newest).first()
    return _Head(row.entry, row.digest) if row is not None else _Head(0, "")


def _noted(value: Any) -> _Head | None:
    """The head that `meta` holds, None when there is none, or nothing that we wrote."""
    match value:
        case {"entries": int(entries), "digest": str(digest)} if 0 <= entries < 2**62:
            return _Head(entries, digest)
    return None


def _note(connection: Connection, found: _Head) -> None:
    value = {"entries": found.entries, "digest": found.digest}
    if not connection.execute(update(meta).where(meta.c.key == HEAD).values(value=value)).rowcount:
        connection.execute(insert(meta).values(key=HEAD, value=value))
