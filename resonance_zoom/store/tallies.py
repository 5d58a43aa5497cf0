"""How many there are of what, kept by the database itself: pages need not count a million rows.

Triggers change the table `tallies` with every row of `registrants` and `letters`, in the same
transaction. A migration that rebuilds one of the two (Alembic's batch mode on SQLite) drops its
triggers: it must end with `keep_count`, and a test sees that they are there.
"""

# ruff: noqa: S608 — the SQL of the triggers is made of names of ours alone

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, String, and_, column, func, select, text, values

from resonance_zoom.store.tables import tallies

REGISTRATIONS, ERASED, PEOPLE, QUARTERS, LETTERS = (
    "registrations",  # by group and status; `two` is ERASED for rows without a name
    "erased",
    "people",  # different addresses by status, and under "" whatever the status
    "quarters",  # registrations by group and quarter of an hour, UTC
    "letters",  # by group, kind and state
)
_COLUMNS = ("what", "focus_group", "one", "two")

# ---- reading ---------------------------------------------------------------------------------


def registrations(connection: Connection) -> dict[str, dict[str, int]]:
    """{group: {status: registrations}}, erased ones too."""
    found: dict[str, dict[str, int]] = {}
    for group, status, _, number in _of(connection, REGISTRATIONS):
        of_group = found.setdefault(group, {})
        of_group[status] = of_group.get(status, 0) + number
    return found


def with_a_name(connection: Connection, group: str = "", status: str = "") -> tuple[int, int]:
    """(registrations, people) in a group and of a status, "" for any; without who was erased."""
    count = sum(
        number
        for its_group, its_status, erased, number in _of(connection, REGISTRATIONS)
        if not erased and group in {"", its_group} and status in {"", its_status}
    )
    return count, count if group else people(connection, status)


def people(connection: Connection, status: str = "") -> int:
    """How many different people are registered, with this status or with any."""
    return sum(number for _, one, _, number in _of(connection, PEOPLE) if one == status)


def by_day(connection: Connection, timezone: ZoneInfo) -> Iterator[tuple[date, str, int]]:
    """(local day, group, registrations on it). Days are made here: SQLite knows no time zones."""
    quarters = tallies.c.what == QUARTERS
    # One after the other: each is an end of the index, where both at once would read all of it.
    first = connection.scalar(select(func.min(tallies.c.one)).where(quarters))
    last = connection.scalar(select(func.max(tallies.c.one)).where(quarters))
    if first is None or last is None:
        return
    days = _days(_utc(first), _utc(last), timezone)
    local = (
        values(
            column("day", String), column("begins", String), column("until", String), name="days"
        )
        .data(days)
        .cte()
    )
    found = (
        select(local.c.day, tallies.c.focus_group, func.sum(tallies.c.number))
        .select_from(local)
        .join(tallies, and_(tallies.c.one >= local.c.begins, tallies.c.one < local.c.until))
        .where(quarters, tallies.c.number > 0)
        .group_by(local.c.day, tallies.c.focus_group)
    )
    for day, group, number in connection.execute(found):
        yield date.fromisoformat(day), group, int(number)


def _utc(quarter: str) -> datetime:
    return datetime.fromisoformat(quarter).replace(tzinfo=UTC)


def _days(first: datetime, last: datetime, timezone: ZoneInfo) -> list[tuple[str, str, str]]:
    """(day, its first quarter, the first of the next) of the local days from one to the other."""
    day, found = first.astimezone(timezone).date(), []
    while day <= last.astimezone(timezone).date():
        following = day + timedelta(days=1)
        begins, until = (
            f"{datetime.combine(one, time(), timezone).astimezone(UTC):%Y-%m-%d %H:%M}"
            for one in (day, following)
        )
        found.append((day.isoformat(), begins, until))
        day = following
    return found


def letters(connection: Connection) -> dict[tuple[str, str, str], int]:
    """{(group, kind, state): letters}."""
    return {(group, kind, state): n for group, kind, state, n in _of(connection, LETTERS)}


def _of(connection: Connection, what: str) -> Iterator[tuple[str, str, str, int]]:
    found = select(tallies.c.focus_group, tallies.c.one, tallies.c.two, tallies.c.number)
    for row in connection.execute(found.where(tallies.c.what == what, tallies.c.number > 0)):
        yield row.focus_group, row.one, row.two, row.number


# ---- keeping ---------------------------------------------------------------------------------


def keep_count(connection: Connection) -> None:
    """Count what is there, and from now on whatever changes. Again harmless."""
    make = _on_postgresql if connection.dialect.name == "postgresql" else _on_sqlite
    for statement in make():
        connection.exec_driver_sql(statement)
    connection.execute(tallies.delete())
    for statement in _counted(connection.dialect.name):
        connection.exec_driver_sql(statement)


def triggers(connection: Connection) -> set[str]:
    """The names of those that are there."""
    if connection.dialect.name == "postgresql":
        found = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgname LIKE 'tally%'"
    else:
        found = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'tally%'"
    return set(connection.scalars(text(found)))


_WATCHED = {
    "registrants": ("focus_group", "status", "email", "email_folded", "registered_at"),
    "letters": ("focus_group", "kind", "state"),
}


def _quarter(moment: str) -> str:
    """The quarter of an hour of a time written as `2021-01-11 10:07…`."""
    return (
        f"substr({moment}, 1, 14) ||"
        f" substr('00153045', 1 + 2 * (CAST(substr({moment}, 15, 2) AS INTEGER) / 15), 2)"
    )


def _kept_of(table: str, row: str, dialect: str) -> list[tuple[str, tuple[str, str, str], str]]:
    """(what, its three keys, on which condition) for one row, OLD or NEW."""
    if table == "letters":
        return [(LETTERS, (f"{row}.focus_group", f"{row}.kind", f"{row}.state"), "true")]
    erased = f"CASE {row}.email WHEN '' THEN '{ERASED}' ELSE '' END"
    moment = f"{row}.registered_at"
    if dialect == "postgresql":
        moment = f"CAST({row}.registered_at AT TIME ZONE 'UTC' AS text)"
    nobody_else = (
        f"{row}.email <> '' AND NOT EXISTS (SELECT 1 FROM registrants other WHERE"
        f" other.email_folded = {row}.email_folded AND other.id <> {row}.id"
    )
    return [
        (REGISTRATIONS, (f"{row}.focus_group", f"{row}.status", erased), "true"),
        (QUARTERS, (f"{row}.focus_group", _quarter(moment), "''"), "true"),
        (PEOPLE, ("''", "''", "''"), f"{nobody_else})"),
        (PEOPLE, ("''", f"{row}.status", "''"), f"{nobody_else} AND other.status = {row}.status)"),
    ]


def _fewer(table: str, dialect: str) -> str:
    return " ".join(
        f"UPDATE tallies SET number = number - 1 WHERE what = '{what}' AND focus_group = {group}"
        f" AND one = {one} AND two = {two} AND {condition};"
        for what, (group, one, two), condition in _kept_of(table, "OLD", dialect)
    )


def _more(table: str, dialect: str) -> str:
    return " ".join(
        f"INSERT INTO tallies ({', '.join(_COLUMNS)}, number)"
        f" SELECT '{what}', {', '.join(keys)}, 1 WHERE {condition}"
        f" ON CONFLICT ({', '.join(_COLUMNS)}) DO UPDATE SET number = tallies.number + 1;"
        for what, keys, condition in _kept_of(table, "NEW", dialect)
    )


def _on_sqlite() -> Iterator[str]:
    for table, columns in _WATCHED.items():
        fewer, more = _fewer(table, "sqlite"), _more(table, "sqlite")
        old, new = (", ".join(f"{row}.{name}" for name in columns) for row in ("OLD", "NEW"))
        for name, event, does in (
            ("added", "INSERT", more),
            ("gone", "DELETE", fewer),
            (
                "changed",
                f"UPDATE OF {', '.join(columns)}",
                f"{fewer} {more}",
            ),
        ):
            when = f" WHEN ({old}) IS NOT ({new})" if name == "changed" else ""
            yield (
                f"CREATE TRIGGER IF NOT EXISTS tally_{table}_{name} AFTER {event} ON {table}{when}"
                f" BEGIN {does} END"
            )


def _on_postgresql() -> Iterator[str]:
    for table in _WATCHED:
        fewer, more = _fewer(table, "postgresql"), _more(table, "postgresql")
        # Before each row of people: it sees what the rows before it in the same statement did,
        # where after the statement two rows of one person would each see the other. Letters after
        # it: an INSERT that meets a row which is there would count before it turns into an UPDATE.
        time = "BEFORE" if table == "registrants" else "AFTER"
        yield (
            f"CREATE OR REPLACE FUNCTION tally_{table}() RETURNS trigger LANGUAGE plpgsql AS $$"
            f" BEGIN IF TG_OP <> 'INSERT' THEN {fewer} END IF;"
            f" IF TG_OP <> 'DELETE' THEN {more} RETURN NEW; END IF; RETURN OLD; END $$"
        )
        yield (
            f"CREATE OR REPLACE TRIGGER tally_{table} {time} INSERT OR UPDATE OR DELETE"
            f" ON {table} FOR EACH ROW EXECUTE FUNCTION tally_{table}()"
        )


def _counted(dialect: str) -> Iterator[str]:
    moment = "registered_at"
    if dialect == "postgresql":
        moment = "CAST(registered_at AT TIME ZONE 'UTC' AS text)"
    erased = f"CASE email WHEN '' THEN '{ERASED}' ELSE '' END"
    named = "registrants WHERE email <> ''"
    for what, keys, number, rows in (
        (REGISTRATIONS, ("focus_group", "status", erased), "count(*)", "registrants"),
        (QUARTERS, ("focus_group", _quarter(moment), "''"), "count(*)", "registrants"),
        (PEOPLE, ("''", "''", "''"), "count(DISTINCT email_folded)", named),
        (PEOPLE, ("''", "status", "''"), "count(DISTINCT email_folded)", named),
        (LETTERS, ("focus_group", "kind", "state"), "count(*)", "letters"),
    ):
        by = [key for key in keys if key != "''"]
        grouped = f" GROUP BY {', '.join(by)}" if by else " HAVING count(*) > 0"
        yield (
            f"INSERT INTO tallies ({', '.join(_COLUMNS)}, number)"
            f" SELECT '{what}', {', '.join(keys)}, {number} FROM {rows}{grouped}"
        )
