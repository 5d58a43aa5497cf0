"""Brings a backup back: nobody who was erased returns, and nothing goes twice without a yes."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select

from resonance_zoom import backups, folders, holds
from resonance_zoom.errors import DatabaseUnusable, ResonanceError
from resonance_zoom.store import beside, chain, erasure, journal
from resonance_zoom.store.engine import Store
from resonance_zoom.store.sqlite import SqliteStore
from resonance_zoom.store.tables import journal as lines
from resonance_zoom.store.tables import sessions, spent
from resonance_zoom.store.upsert import insert

LOGS = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did. `as_of`: the last thing that the backup knows; `aside`: what was there.

    `erasures_known` False: the database that was there could not be read, so that whoever was
    erased since the newest backup must be erased again.
    """

    as_of: datetime | None
    aside: Path | None
    held: int
    erased_again: int
    erasures_known: bool


@dataclass(slots=True)
class _Present:
    """What the database that was there knows and the backup cannot."""

    readable: bool = True
    tombstones: list[erasure.Tombstone] = field(default_factory=list)
    paused: Any = None
    spent: list[dict[str, Any]] = field(default_factory=list)
    head: str | None = None  # of the chain of acts


def restore(store: Store, source: Path | None, now: datetime, *, by: str) -> Restored:
    """Put a backup in the place of the database, which is kept beside it.

    The backup is read through and migrated as a copy before anything is touched. Raises
    AlreadyRunning while a daemon runs, DatabaseUnusable for a file that is no backup of ours.

    A database server restores its own backups: there, without `source`, the database that it has
    restored is made safe in its place.
    """
    store.hold_alone()
    if not isinstance(store, SqliteStore):
        return _safe_in_place(store, source, now, by=by)
    if source is None:
        raise ResonanceError("which backup?", remedy="Name a file made by `backup`.")
    workshop = store.path.parent / backups.WORKSHOP
    shutil.rmtree(workshop, ignore_errors=True)
    workshop.mkdir(mode=0o700)
    try:
        copy = _sound_copy(source, workshop / store.path.name)
        present = _present(store)
        try:
            restored = _made_safe(copy, present, now, source=f"the backup {source.name}", by=by)
        finally:
            copy.close()
        aside = _put_aside(store, now)
        beside.note_how_far(store.path, 0)  # the backup's journal may end earlier
        (workshop / store.path.name).replace(store.path)
        folders.sync(store.path.parent)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    as_of, held, erased = restored
    return Restored(as_of, aside, held, erased, present.readable)


def _safe_in_place(store: Store, source: Path | None, now: datetime, *, by: str) -> Restored:
    if source is not None:
        raise ResonanceError(
            f"{store.name} is restored by its server: pg_restore, or its own backups",
            remedy="Do that while every process is stopped; then: resonance-zoom restore",
        )
    store.prepare()
    unknown = _Present(readable=False)
    restored = _made_safe(store, unknown, now, source=f"the backup of {store.name}", by=by)
    as_of, held, erased = restored
    return Restored(as_of, None, held, erased, unknown.readable)


def _sound_copy(source: Path, target: Path) -> SqliteStore:
    """A copy that is whole, ours and of this version, open."""
    try:
        shutil.copyfile(source, target)
        target.chmod(0o600)
        log = source.with_name(f"{source.name}-wal")
        if log.exists():
            shutil.copyfile(log, target.with_name(f"{target.name}-wal"))
    except OSError as error:
        raise ResonanceError(
            f"{source} cannot be read ({error.strerror})", remedy="Name a file made by `backup`."
        ) from error
    if not _is_sound(target):
        raise DatabaseUnusable(
            f"{source} is damaged or no backup", remedy="Name another file made by `backup`."
        )
    copy = SqliteStore(target)
    try:
        copy.prepare()
    except DatabaseUnusable as error:
        copy.close()
        raise DatabaseUnusable(
            error.message.replace(str(target), str(source)), remedy=error.remedy
        ) from error
    return copy


def _is_sound(path: Path) -> bool:
    """Whether every page can be read, and it is a database of ours."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            whole = connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            ours = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError:
        return False
    return whole and ours is not None


def _present(store: SqliteStore) -> _Present:
    """Erasures are looked for in the daily backups too, for a database that cannot be read."""
    known = _Present()
    for backup in backups.daily(store):
        known.tombstones += backups.erasures_in(backup) or []
    if not store.path.exists():
        known.readable = False
        return known
    here = backups.erasures_in(store.path)
    if here is None or not _is_sound(store.path):
        known.readable = False
    known.tombstones += here or []
    if known.readable:
        with store.read() as connection:
            known.paused = journal.recall(connection, journal.PAUSED)
            if (store.revision() or "") >= "0005":  # before, there was no chain
                known.head = chain.head(connection)
            known.spent = [dict(row) for row in connection.execute(select(spent)).mappings()]
    return known


def _made_safe(
    copy: Store, present: _Present, now: datetime, *, source: str, by: str
) -> tuple[datetime | None, int, int]:
    """Within the copy: erasures done again, letters held, sessions ended. (as_of, held, erased)."""
    with copy.write() as connection:
        as_of = connection.execute(select(func.max(lines.c.at))).scalar()
        erasure.adopt(connection, present.tombstones)
        erased = erasure.forget_buried(connection)
        held = holds.hold_what_was_queued(connection, now)
        holds.open_window(connection, until=now, reason=holds.RESTORED)
        connection.execute(delete(sessions))
        # What was signed out, withdrawn or used since, nobody knows here.
        journal.remember(connection, journal.LINKS_SINCE, now)
        for used in present.spent:  # an invitation that was used since works no second time
            statement = insert(connection, spent).values(**used)
            connection.execute(statement.on_conflict_do_nothing())
        if present.paused is not None:
            journal.remember(connection, journal.PAUSED, present.paused)
        journal.forget(connection, backups.BACKED_UP)
        journal.note(
            connection,
            now,
            "staff.restore",
            f"{source} was restored; {held} letters wait for a yes (by {by})",
            level=journal.WARNING,
            by=by,
            letters=held,
            down_from=as_of,
            head_before=present.head,
        )
    copy.scrub()
    return as_of, held, erased


def _put_aside(store: SqliteStore, now: datetime) -> Path | None:
    """Keep what is there, with its log: a log that stayed would be read into the new file."""
    store.engine.dispose()
    aside = store.path.with_name(f"{store.path.name}.aside-{now:%Y-%m-%dT%H-%M-%S}")
    was_there = store.path.exists()
    if was_there:
        shutil.copyfile(store.path, aside)
        aside.chmod(0o600)
        folders.sync(aside)
    for suffix in LOGS:
        log = store.path.with_name(store.path.name + suffix)
        if log.exists():
            log.rename(aside.with_name(aside.name + suffix))
    return aside if was_there else None
