"""Writes what happened where staff will read it: one line an occurrence, no name, no address."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from types import NoneType
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, insert, or_, select, update

from resonance_zoom.store import chain, upsert
from resonance_zoom.store.direct import find, insert_many
from resonance_zoom.store.tables import UtcDateTime, journal, meta, runs

DEBUG, INFO, WARNING, ERROR = "debug", "info", "warning", "error"
PAUSED, HELD, LAST_ALIVE, RELAY = "paused", "held", "last_alive", "relay"
LINKS_SINCE = "links_since"  # staff links that were made before let nobody in
MAILBOX = "mailbox"  # how far the one of the reports was read
MAILBOX_DOWN = "mailbox_down"  # its trouble, while it cannot be read
CAMPAIGN_FILE = "campaign_file"  # its problems, while an edited one cannot be used

# Built once: these run at every tick, and to build a statement costs more than to run it.
_ADD, _ADD_RUN = insert(journal), insert(runs)
_BEFORE = bindparam("before", type_=UtcDateTime())
_FORGET_RUNS = delete(runs).where(runs.c.started_at < _BEFORE)
_FORGET_TECHNICAL = delete(journal).where(
    journal.c.level == DEBUG, journal.c.at < _BEFORE, ~journal.c.kind.like("staff.%")
)
_ALIVE = update(meta).where(meta.c.key == LAST_ALIVE)


def line(
    now: datetime,
    kind: str,
    message: str,
    *,
    level: str = INFO,
    focus_group: str | None = None,
    registrant: int | None = None,
    **data: Any,
) -> dict[str, Any]:
    """A line to be added. `kind`: what happened (`letter.sent`); `data`: the figures behind it."""
    return {
        "at": now,
        "level": level,
        "kind": kind,
        "focus_group": focus_group,
        "registrant": registrant,
        "message": message,
        "data": {
            key: value if type(value) in _PLAIN else _plain(value) for key, value in data.items()
        },
    }


def note(
    connection: Connection,
    now: datetime,
    kind: str,
    message: str,
    *,
    level: str = INFO,
    focus_group: str | None = None,
    registrant: int | None = None,
    **data: Any,
) -> None:
    """Add a line, see `line`. What somebody did (`staff.…`) becomes a link of the chain as well."""
    row = line(
        now,
        kind,
        message,
        level=level,
        focus_group=focus_group,
        registrant=registrant,
        **data,
    )
    added = connection.execute(_ADD, row)
    if chain.is_act(kind):
        assert added.inserted_primary_key is not None  # noqa: S101 — one row: it has a key
        chain.add(connection, added.inserted_primary_key.id)


def note_all(connection: Connection, lines: Sequence[Mapping[str, Any]]) -> None:
    """Add many lines in one statement, none of them an act of somebody's."""
    insert_many(connection, journal, lines)


def note_run(
    connection: Connection,
    *,
    job: str,
    started_at: datetime,
    seconds: float,
    did: str,
    error: str | None,
) -> None:
    """Record a run of a job: when, how long, what it did, what went wrong."""
    connection.execute(
        _ADD_RUN,
        {"job": job, "started_at": started_at, "seconds": seconds, "did": did, "error": error},
    )


def forget_runs(connection: Connection, before: datetime) -> int:
    """Drop the rows of runs older than `before`; returns how many."""
    return connection.execute(_FORGET_RUNS, {"before": before}).rowcount


def forget_technical(connection: Connection, before: datetime) -> int:
    """Drop the technical lines older than `before`; returns how many. No act is technical."""
    return connection.execute(_FORGET_TECHNICAL, {"before": before}).rowcount


def recall(connection: Connection, key: str) -> Any:
    """The value kept under `key`, None when there is none."""
    found = find(connection, _RECALL, {"its_key": key})
    return found[0].value if found else None


def recall_all(connection: Connection, keys: Sequence[str]) -> dict[str, Any]:
    """The values kept under these keys, in one statement; without those that are not kept."""
    found = find(connection, _recall_all(tuple(keys)))
    return {row.key: row.value for row in found}


# Built once: to build a statement costs more than to run it, and each letter's turn recalls some.
_RECALL = select(meta.c.value).where(meta.c.key == bindparam("its_key"))


@lru_cache(maxsize=32)
def _recall_all(keys: tuple[str, ...]) -> Select[Any]:
    return select(meta.c.key, meta.c.value).where(or_(*(meta.c.key == key for key in keys)))


def remember(connection: Connection, key: str, value: Any) -> None:
    """Keep one JSON value under `key`, in place of what was there."""
    connection.execute(_keep(connection.dialect.name), {"key": key, "value": _plain(value)})


@lru_cache(maxsize=2)
def _keep(dialect: str) -> upsert.Insert:
    statement = upsert.insert_of(dialect, meta)
    return statement.on_conflict_do_update(
        index_elements=["key"], set_={"value": statement.excluded.value}
    )


def forget(connection: Connection, key: str) -> None:
    """Keep nothing under `key` any more."""
    connection.execute(delete(meta).where(meta.c.key == key))


def alive(connection: Connection, now: datetime) -> None:
    """The service was alive at `now`: what an outage is measured from after the next start."""
    value = now.isoformat()
    if not connection.execute(_ALIVE, {"value": value}).rowcount:
        remember(connection, LAST_ALIVE, value)


def last_alive(connection: Connection) -> datetime | None:
    """When the service was last alive, None before its first start."""
    value = recall(connection, LAST_ALIVE)
    return datetime.fromisoformat(value) if value else None


def outage_within(
    connection: Connection, since: datetime, until: datetime
) -> tuple[datetime, datetime] | None:
    """The last outage that touches the period: (last alive, alive again)."""
    lines = connection.execute(
        select(journal.c.data)
        .where(journal.c.kind == "service.started")
        .order_by(journal.c.id.desc())
        .limit(50)
    ).scalars()
    for data in lines:
        if not data.get("down_from"):
            continue
        down, up = (datetime.fromisoformat(data[key]) for key in ("down_from", "down_to"))
        if down <= until and up >= since:
            return down, up
    return None


_PLAIN = (str, int, float, bool, NoneType)


def _plain(value: Any) -> Any:
    """A value as JSON columns hold it: datetimes as ISO text."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
