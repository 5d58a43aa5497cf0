"""A campaign in one file on one machine: SQLite.

It runs in WAL with `synchronous=FULL` (NORMAL loses acknowledged commits at a power cut) and every
writing transaction begins IMMEDIATE: a transaction that reads first and writes later would fail at
once with "database is locked", whatever the timeout.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError

from resonance_zoom import folders
from resonance_zoom.errors import DatabaseUnusable, ResonanceError
from resonance_zoom.store import beside, engine

ROOM_TO_WRITE = 1024 * 1024  # bytes; with less, an error of the disk means that it is full
_PRAGMAS = (
    f"PRAGMA busy_timeout={engine.BUSY_TIMEOUT_MS}",
    "PRAGMA foreign_keys=ON",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=ON",
)


class SqliteStore(engine.Store):
    """The file of one campaign."""

    shared, suffix = False, ".db"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.name, self.stem, self.folder = str(path), path.stem, path.parent
        self.engine = _engine(path, self._connect)
        self._lock_file: int | None = None
        self._file: tuple[int, int] | None = None  # device and inode, once prepared

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view; nothing is written."""
        with self._told_plainly(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write, alone. Raises DatabaseBusy when another one holds on.

        Raises DatabaseUnusable, and commits nothing, when the file is no longer the one that was
        prepared: what is written to a deleted file is gone with the process.
        """
        with (
            self._my_turn(),
            self._told_plainly(),
            self.engine.connect().execution_options(immediate=True) as connection,
            connection.begin(),
        ):
            yield connection
            self.look_after()

    def exists(self) -> bool:
        """Whether a campaign was begun here."""
        return self.path.exists()

    def look_after(self) -> None:
        """Raises what is in `lost`: DatabaseUnusable when the prepared file is no longer there.

        Deleted, replaced or emptied, it would take what is written and keep none of it.
        """
        if self.lost is not None:
            raise self.lost
        if self._file is None:
            return
        try:
            found = self.path.stat()
        except FileNotFoundError:
            trouble = "was deleted"
        else:
            if (found.st_dev, found.st_ino) == self._file and found.st_size:
                return
            trouble = "was replaced by another file" if found.st_size else "was emptied"
        self.lost = DatabaseUnusable(
            f"{self.path} {trouble} while the service ran", remedy=beside.RESTORE_IT
        )
        raise self.lost

    def prepare(self) -> None:
        """Create or migrate the database; keeps a copy beside it before a migration.

        Raises DatabaseUnusable for a damaged file, one written by a newer version, and where a
        database once was and is no more: a new one would write to everyone again.
        """
        if self.path.parent != Path():
            folders.make(self.path.parent)
        if not self.path.exists() or not self.path.stat().st_size:
            beside.refuse_to_begin_anew(self.path)
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._refuse_damage()
        with self._told_plainly():
            self._make_ready()
        self.note_how_far()
        self._file = self._identity()

    def _make_ready(self) -> None:
        found = self.revision()
        if found is None:
            beside.refuse_to_begin_anew(self.path)
            with self.engine.connect() as connection:
                self._refuse_tables_of_others(connection)
        elif found <= engine.HEAD:
            beside.refuse_an_older_one(self.path, self._lines())
        self._use_wal()
        if found != engine.HEAD:
            self._migrate(found)

    def note_how_far(self) -> None:
        """Note beside the file how far its journal goes: an older one in its place is refused."""
        with suppress(OSError):  # a full disk: the next note says it
            beside.note_how_far(self.path, self._lines())

    def _lines(self) -> int:
        with self.read() as connection:
            return connection.execute(text("SELECT max(id) FROM journal")).scalar() or 0

    def _migrate(self, found: str | None) -> None:
        # Imported here: alembic costs a third of a second that only a migration should pay.
        from resonance_zoom.store.migrations import known_revisions, upgrade

        self._refuse_unknown(found, known_revisions())
        if found is not None:
            self.copy_to(self.path.with_name(f"{self.path.name}.before-{engine.HEAD}"))
        upgrade(self.engine)

    def _identity(self) -> tuple[int, int]:
        found = self.path.stat()
        return found.st_dev, found.st_ino

    def require_current(self) -> None:
        """For commands beside the daemon: the database must exist and be of this version."""
        super().require_current()
        self._file = self._identity()

    def copy_to(self, target: Path) -> None:
        """A consistent copy while others read and write (SQLite's online backup).

        It has its name only when it is whole and was read through. Raises DatabaseUnusable.
        """
        part = target.with_name(f"{self.path.name}.part")
        try:
            os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
            with closing(self._connect()) as source, closing(sqlite3.connect(part)) as copy:
                source.backup(copy)
                sound = copy.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            if not sound:
                raise self._damaged()
            part.replace(target)
            folders.sync(target.parent)
        except sqlite3.DatabaseError as error:
            # Not a trouble of ours for good: it may be the other disk's.
            raise DatabaseUnusable(
                f"{target}: {error}", remedy="See that the disk has room and the file is writable."
            ) from error
        finally:
            part.unlink(missing_ok=True)

    def scrub(self) -> None:
        """Leave no byte of what was deleted, in the file or its log. Raises DatabaseBusy."""
        with self._my_turn(), closing(self._connect()) as connection:
            try:
                for pragma in (*_PRAGMAS, "PRAGMA temp_store=MEMORY"):
                    connection.execute(pragma)
                connection.execute("VACUUM")
                checkpoint = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.DatabaseError as error:
                raise self._plainly(error) from error
        if checkpoint[0]:  # somebody still reads from the log
            raise self._busy()

    def hold_alone(self) -> None:
        """Take the lock that only one daemon can hold on this database, until `close`.

        Raises AlreadyRunning. The lock is the kernel's: it goes with the process, however it ends.
        """
        if self._lock_file is None:
            self._lock_file = beside.lock(self.path)

    def close(self) -> None:
        """Give back every connection and the lock."""
        super().close()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _refuse_damage(self) -> None:
        try:
            with closing(self._connect()) as connection:
                sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
        except sqlite3.DatabaseError as error:
            raise self._plainly(error) from error
        if not sound:
            raise self._damaged()

    def _use_wal(self) -> None:
        try:
            with closing(self._connect()) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                if self._lock_file is not None:
                    # What a failed fsync left in the log is shown by the system and may not be on
                    # the disk: no commit may come to stand behind it.
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.DatabaseError as error:
            raise self._plainly(error) from error

    def _connect(self) -> sqlite3.Connection:
        # Once prepared, a file that is gone must not come back as an empty one.
        mode = "rwc" if self._file is None else "rw"
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode={mode}",
            uri=True,
            timeout=engine.BUSY_TIMEOUT_MS / 1000,
            check_same_thread=False,  # the pool lends a connection to one thread at a time
        )
        # Only the daemon tidies the log, in its one writing thread: before SQLite 3.51.3, two
        # processes that did it at once could damage the file.
        # https://sqlite.org/wal.html#walresetbug
        # The commit that comes to so many pages waits for all of them.
        tidy = self._lock_file is not None
        pragma = "PRAGMA wal_autocheckpoint=500" if tidy else "PRAGMA wal_autocheckpoint=0"
        connection.execute(pragma)
        return connection

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        """SQLite's own errors as ours."""
        if self.lost is not None:
            raise self.lost
        try:
            yield
        except DatabaseError as error:
            if isinstance(error.orig, sqlite3.DatabaseError) and not isinstance(
                error.orig, sqlite3.IntegrityError
            ):
                raise self._plainly(error.orig) from error
            raise

    def _plainly(self, error: sqlite3.DatabaseError) -> ResonanceError:
        """What SQLite says as an error of ours; what no waiting mends is kept in `lost`.

        https://sqlite.org/rescode.html
        """
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return self._busy()
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            self.lost = self._damaged()
            return self.lost
        failed = code == sqlite3.SQLITE_IOERR
        full = failed and not self._has_room()
        plain = DatabaseUnusable(
            f"{self.path}: {'the disk is full' if full else error}",
            remedy="See that the disk has room and the file is writable.",
        )
        # After a failed fsync nobody knows what the disk holds, and asking again would be told that
        # all is well: only a new start reads it anew. A full disk is no such thing.
        if failed and not full:
            self.lost = plain
        return plain

    def _has_room(self) -> bool:
        try:
            return shutil.disk_usage(self.path.parent).free > ROOM_TO_WRITE
        except OSError:
            return True  # the disk does not even say: that is worse than a full one

    def _damaged(self) -> DatabaseUnusable:
        return DatabaseUnusable(f"{self.path} is damaged or no database", remedy=beside.RESTORE_IT)


def _engine(path: Path, connect: Callable[[], sqlite3.Connection]) -> Engine:
    # The path is only what the pool is chosen by: one for a file, not the one for memory.
    made = create_engine(f"sqlite:///{path}", creator=connect, hide_parameters=True)

    @event.listens_for(made, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in _PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(made, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return made
