"""Statements of the hot paths, straight to SQLite's driver: a fraction of SQLAlchemy's own cost."""

from collections import namedtuple
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Insert, Select, Table, Update, bindparam, insert

_Process = Callable[[Any], Any] | None


def find(
    connection: Connection, statement: Select[Any], values: Mapping[str, Any] | None = None
) -> Sequence[Any]:
    """All rows of a module's statement, their columns as attributes.

    `values`: its parameters; a list, which must not be empty, is what a column is IN.
    """
    own = dict(values or {})
    lengths = []
    for name, value in own.items():
        length = 0
        if isinstance(value, list):
            # A few lengths, and not every one: the text of each is kept.
            length = 1 << (len(value) - 1).bit_length()
            own[name] = [*value, *[value[-1]] * (length - len(value))]
        lengths.append((name, length))
    query = _query(statement, connection.dialect, tuple(lengths))
    if query is None:
        return connection.execute(statement, values).all()
    bound = tuple([one.value_in(own) for one in query.binds])
    rows = connection.exec_driver_sql(query.text, bound).fetchall()
    return [query.row_of(row) for row in rows]


def insert_many(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all have the same columns; other columns get their server defaults."""
    if not rows:
        return
    _run(connection, _insert(table, (*rows[0],)), rows)


def update_many(
    connection: Connection, statement: Update, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Run a statement of a module's for each of `rows`, which hold all of its parameters."""
    if rows:
        _run(connection, statement, rows)


@lru_cache(maxsize=64)
def _insert(table: Table, names: tuple[str, ...]) -> Insert:
    return insert(table).values({name: bindparam(name) for name in names})


def _run(
    connection: Connection, statement: Insert | Update, rows: Sequence[Mapping[str, Any]]
) -> None:
    prepared = _prepared(statement, connection.dialect)
    if prepared is None:
        connection.execute(statement, rows)
        return
    connection.exec_driver_sql(prepared.text, [prepared.line_of(row) for row in rows])


class _Prepared(NamedTuple):
    text: str
    line_of: Callable[
        [Mapping[str, Any]], tuple[Any, ...]
    ]  # a row's values, as the driver has them


@lru_cache(maxsize=64)
def _prepared(statement: Insert | Update, dialect: Dialect) -> _Prepared | None:
    """None for a driver that wants its parameters by name."""
    compiled = statement.compile(dialect=dialect)
    if not compiled.positional or not compiled.positiontup:
        return None
    bound = [compiled.binds[name] for name in compiled.positiontup]
    processes = [one.type.dialect_impl(dialect).bind_processor(dialect) for one in bound]
    own = [place for place, one in enumerate(bound) if one.required]
    values_of = itemgetter(*[compiled.positiontup[place] for place in own])
    changed = [(place, process) for place in own if (process := processes[place])]
    fixed = [
        process(one.value) if process and not one.required else one.value
        for one, process in zip(bound, processes, strict=True)
    ]
    nothing_is_fixed = len(own) == len(bound)

    def line_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
        if nothing_is_fixed:
            line = [*values_of(row)]
        else:
            line = [*fixed]
            for place, value in zip(own, values_of(row), strict=True):
                line[place] = value
        for place, process in changed:
            line[place] = process(line[place])
        return tuple(line)

    return _Prepared(str(compiled), line_of)


class _Bind(NamedTuple):
    """What stands in one place of a query: what it fixes itself, a parameter, one of a list."""

    fixed: Any
    name: str | None = None
    place: int | None = None
    process: _Process = None

    def value_in(self, values: Mapping[str, Any]) -> Any:
        if self.name is None:
            return self.fixed
        value = values[self.name] if self.place is None else values[self.name][self.place]
        return value if self.process is None else self.process(value)


class _Query(NamedTuple):
    text: str
    binds: Sequence[_Bind]
    row_of: Callable[[Any], Any]


@lru_cache(maxsize=256)
def _query(
    statement: Select[Any], dialect: Dialect, lengths: tuple[tuple[str, int], ...]
) -> _Query | None:
    """`lengths` of lists, 0 for other parameters. None for a driver that wants names."""
    own = {name: [None] * length if length else None for name, length in lengths}
    compiled = statement.params(own).compile(
        dialect=dialect, compile_kwargs={"render_postcompile": True}
    )
    if not compiled.positional or compiled.positiontup is None:
        return None
    binds = [_bind(compiled, name, own, dialect) for name in compiled.positiontup]
    return _Query(str(compiled), binds, _row_maker(statement, dialect))


def _bind(compiled: Any, name: str, own: Collection[str], dialect: Dialect) -> _Bind:
    place = None
    if name not in compiled.binds:  # `ids_3`: the third of the list `ids`
        name, _, number = name.rpartition("_")
        place = int(number) - 1
    bound = compiled.binds[name]
    process = bound.type.dialect_impl(dialect).bind_processor(dialect)
    if name in own:
        return _Bind(None, name, place, process)
    return _Bind(bound.value if process is None else process(bound.value))


def _row_maker(statement: Select[Any], dialect: Dialect) -> Callable[[Any], Any]:
    columns = list(statement.selected_columns)
    names = [str(column.key) for column in columns]
    row_class: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc]
    processes = [
        (place, process)
        for place, column in enumerate(columns)
        if (process := column.type.dialect_impl(dialect).result_processor(dialect, None))
    ]

    def row_of(found: Any) -> Any:
        values = list(found)
        for place, process in processes:
            values[place] = process(values[place])
        return row_class._make(values)

    return row_of if processes else row_class._make
