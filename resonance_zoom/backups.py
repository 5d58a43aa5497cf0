"""Copies of the database: one a day, kept for a fortnight, and those that lie beside it."""

import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, inspect

from resonance_zoom import folders
from resonance_zoom.errors import DatabaseUnusable, ResonanceError
from resonance_zoom.store import journal
from resonance_zoom.store.engine import Store
from resonance_zoom.store.erasure import Tombstone, all_tombstones
from resonance_zoom.store.sqlite import SqliteStore

KEEP = 14
WORKSHOP = ".restoring"  # a folder beside the database, while a restore is at work
BACKED_UP = "backed_up"  # in `meta`: when; absent when there is something that no backup knows


def folder_of(store: Store) -> Path:
    """Where the daily backups lie."""
    return store.folder / "backups"


def is_due(connection: Connection, now: datetime) -> bool:
    """Whether there is no backup of today, or one that does not know of the last erasure."""
    last = journal.recall(connection, BACKED_UP)
    return last is None or datetime.fromisoformat(last).date() != now.date()


def make(store: Store, target: Path) -> Path:
    """A whole and readable copy, while others read and write, for this user alone.

    Raises ResonanceError when it cannot be written; then there is no file of that name.
    """
    try:
        store.copy_to(target)
    except OSError as error:
        raise ResonanceError(
            f"the backup {target} cannot be written ({error.strerror})",
            remedy="See that the disk has room and the folder is writable.",
        ) from error
    finally:
        with suppress(OSError):  # half a copy holds people as well
            target.with_name(f"{target.name}.part").unlink(missing_ok=True)
    return target


def make_daily(store: Store, now: datetime) -> Path:
    """Today's backup, in place of an earlier one of today; the newest 14 days are kept."""
    folder = folder_of(store)
    try:
        folders.make(folder)
        folder.chmod(0o700)
    except OSError as error:
        raise ResonanceError(
            f"the folder {folder} cannot be made ({error.strerror})",
            remedy="See that the disk has room and the folder is writable.",
        ) from error
    made = make(store, folder / f"{store.stem}-{now:%Y-%m-%d}{store.suffix}")
    _thin_out(store)
    return made


def daily(store: Store) -> list[Path]:
    """The daily backups, the oldest first."""
    return sorted(folder_of(store).glob(f"{store.stem}-????-??-??{store.suffix}"))


def beside(store: Store) -> list[Path]:
    """Databases put aside by a restore, and copies made before a migration, with their logs."""
    if not isinstance(store, SqliteStore):
        return []
    name = store.path.name
    found = [
        *store.path.parent.glob(f"{name}.before-*"),
        *store.path.parent.glob(f"{name}.aside-*"),
    ]
    return sorted(found)


def remove_all(store: Store) -> list[str]:
    """Delete every copy that may hold people; returns the names."""
    folder = folder_of(store)
    shutil.rmtree(store.folder / WORKSHOP, ignore_errors=True)  # of a restore cut short
    copies = [*beside(store), *(folder.iterdir() if folder.is_dir() else ())]
    for copy in copies:
        copy.unlink(missing_ok=True)
    for changed in {copy.parent for copy in copies}:
        folders.sync(changed)
    return [copy.name for copy in copies]


def _thin_out(store: Store) -> None:
    """What is older than the fourteenth backup goes, also what lies beside the database."""
    kept = daily(store)[-KEEP:]
    for old in daily(store)[:-KEEP]:
        old.unlink(missing_ok=True)
    if len(kept) < KEEP:
        return
    oldest = kept[0].stat().st_mtime
    for copy in beside(store):
        if copy.stat().st_mtime < oldest:
            copy.unlink(missing_ok=True)


def erasures_in(path: Path) -> list[Tombstone] | None:
    """Whom another database remembers as erased; None when it cannot be read."""
    store = SqliteStore(path)
    try:
        with store.read() as connection:
            known = inspect(connection).has_table("tombstones")
            return all_tombstones(connection) if known else []
    except DatabaseUnusable:
        return None
    finally:
        store.close()
