"""Copies a whole campaign into another database, and sees that every row has arrived as it was."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    Insert,
    RowMapping,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    tuple_,
)

from resonance_zoom.errors import DatabaseUnusable
from resonance_zoom.store.engine import Store
from resonance_zoom.store.tables import metadata, tallies

PAGE = 2000  # rows that are held in memory at a time
OF_MIGRATIONS = frozenset({"meta"})  # a new database has rows there, which give way
Progress = Callable[[str, int], None]  # a table, and how many rows of it are done


@dataclass(frozen=True, slots=True)
class Sum:
    """How many rows a table has, and the digest of them all in the order of their keys."""

    rows: int
    digest: str


def move(source: Store, target: Store, progress: Progress = lambda _t, _n: None) -> dict[str, Sum]:
    """Copy every table, in one transaction of the target; returns what arrived, by table.

    Both must be of this version. Raises DatabaseUnusable, and leaves the target as it was, when it
    holds anything already, or anything did not arrive as it was.
    """
    with source.read() as old, target.write() as new:
        for table in metadata.sorted_tables:
            begun = new.execute(select(table).limit(1)).first() is not None
            if begun and table.name not in OF_MIGRATIONS:
                raise DatabaseUnusable(
                    f"{target.name} is not empty: there are rows in {table.name}",
                    remedy="Name an empty database.",
                )
        for connection in (old, new):
            _wait_for_us(connection)
        left = {table.name: _copy(table, old, new, progress) for table in _in_order()}
        arrived = sums(new)
        if different := [name for name, its in left.items() if its != arrived[name]]:
            raise DatabaseUnusable(
                f"{', '.join(different)}: not every row arrived as it was; nothing was copied",
                remedy="See that nothing else writes to either database, and try again.",
            )
    return arrived


def _in_order() -> list[Table]:
    """The tallies last: the triggers of the target count all the others while they arrive."""
    return sorted(metadata.sorted_tables, key=lambda table: table is tallies)


def sums(connection: Connection) -> dict[str, Sum]:
    """The sums of all tables: the same wherever the same rows are."""
    return {table.name: _sum(table, connection) for table in metadata.sorted_tables}


def _wait_for_us(connection: Connection) -> None:
    """A transaction may rest here while the other database is read."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def _copy(table: Table, old: Connection, new: Connection, progress: Progress) -> Sum:
    """Copy all rows of a table; the sum of what was read."""
    added, summed = _addition(table), _Summing()
    new.execute(delete(table))
    for page in _pages(table, old):
        new.execute(added, [{f"new_{name}": row[name] for name in row} for row in page])
        summed.add(page)
        progress(table.name, summed.rows)
    _count_on(table, new)
    return summed.sum()


def _addition(table: Table) -> Insert:
    """What is absent from a JSON column stays absent: it is no `null` of JSON's."""
    return insert(table).values(
        {
            column.name: bindparam(
                f"new_{column.name}",
                type_=JSON(none_as_null=bool(column.nullable))
                if isinstance(column.type, JSON)
                else column.type,
            )
            for column in table.columns
        }
    )


def _count_on(table: Table, connection: Connection) -> None:
    """The next row gets a number that none has: PostgreSQL counts apart from its tables."""
    column = table.autoincrement_column
    if connection.dialect.name != "postgresql" or column is None:
        return
    highest = connection.execute(select(func.max(column))).scalar()
    sequence = text("SELECT setval(pg_get_serial_sequence(:table, :column), :next, false)")
    connection.execute(
        sequence, {"table": table.name, "column": column.name, "next": (highest or 0) + 1}
    )


def _pages(table: Table, connection: Connection) -> Iterator[list[RowMapping]]:
    """All rows in the order of their keys, from key to key: no page is counted off again."""
    keys = list(table.primary_key.columns)
    after: tuple[Any, ...] | None = None
    while True:
        query = select(table).order_by(*keys).limit(PAGE)
        if after is not None:
            query = query.where(tuple_(*keys) > tuple_(*after))
        page = list(connection.execute(query).mappings())
        if page:
            yield page
        if len(page) < PAGE:
            return
        after = tuple(page[-1][key] for key in keys)


class _Summing:
    def __init__(self) -> None:
        self.rows, self._digest = 0, hashlib.sha256()

    def add(self, page: list[RowMapping]) -> None:
        for row in page:
            self._digest.update(canonical(row).encode() + b"\n")
        self.rows += len(page)

    def sum(self) -> Sum:
        return Sum(self.rows, self._digest.hexdigest())


def _sum(table: Table, connection: Connection) -> Sum:
    summed = _Summing()
    for page in _pages(table, connection):
        summed.add(page)
    return summed.sum()


def canonical(row: Mapping[Any, Any]) -> str:
    """A row as one line of JSON: equal for equal rows, whichever database they come from."""
    values = {str(name): _plain(value) for name, value in row.items()}
    return json.dumps(values, sort_keys=True, ensure_ascii=True)


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
