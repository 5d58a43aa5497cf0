"""Opens the database and hands out transactions: readers beside one writer, durable at commit.

SQLite runs in WAL with `synchronous=FULL` (NORMAL loses acknowledged commits at a power cut) and
every writing transaction begins IMMEDIATE: a transaction that reads first and writes later would
fail at once with "database is locked", whatever the timeout.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError

from resonance_zoom.errors import (
    AlreadyRunning,
    ConfigurationError,
    DatabaseBusy,
    DatabaseUnusable,
    ResonanceError,
)

HEAD = "0003"  # the newest migration; a test holds it to the scripts
BUSY_TIMEOUT_MS = 5000
_PRAGMAS = (
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA foreign_keys=ON",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=ON",
)


class Store:
    """The database of one campaign. Leaving a `write()` block commits, an exception rolls back."""

    def __init__(self, url: str) -> None:
        if not url.startswith("sqlite:///"):
            raise ConfigurationError(
                "DATABASE_URL: this version runs on SQLite only",
                remedy="Use DATABASE_URL=sqlite:///var/resonance.db",
            )
        self.path = Path(url.removeprefix("sqlite:///"))
        self.engine = _sqlite_engine(url)
        # SQLite has one writer. Waiting for our own threads here is fair and wakes at once, where
        # SQLite's busy handler would poll with growing pauses.
        self._writer = threading.RLock()
        self._lock_file: int | None = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view; nothing is written."""
        with _told_plainly(self.path), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write. Raises DatabaseBusy when another process holds on."""
        with (
            self._writer,
            _told_plainly(self.path),
            self.engine.connect().execution_options(immediate=True) as connection,
            connection.begin(),
        ):
            yield connection

    def prepare(self) -> None:
        """Create or migrate the database; keeps a copy beside it before a migration.

        Raises DatabaseUnusable for a damaged file or one written by a newer version.
        """
        if self.path.parent != Path():
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._use_wal()
        with _told_plainly(self.path):
            found = self.revision()
            if found == HEAD:
                return
            # Imported here: alembic costs a third of a second that only a migration should pay.
            from resonance_zoom.store.migrations import known_revisions, upgrade

            self._refuse_unknown(found, known_revisions())
            if found is not None:
                self.copy_to(self.path.with_name(f"{self.path.name}.before-{HEAD}"))
            upgrade(self.engine)

    def require_current(self) -> None:
        """For commands beside the daemon: the database must exist and be of this version."""
        if not self.path.exists():
            raise DatabaseUnusable(
                f"there is no database at {self.path} yet",
                remedy="Start the campaign first: resonance-zoom run",
            )
        with _told_plainly(self.path):
            found = self.revision()
        if found is None or found < HEAD:
            raise DatabaseUnusable(
                f"{self.path} was written by an older version",
                remedy="Start the daemon once, it migrates the database: resonance-zoom run",
            )
        self._refuse_unknown(found, [HEAD])

    def revision(self) -> str | None:
        """The migration that the database stands at, None for an empty one."""
        with self.engine.connect() as connection:
            exists = text("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'")
            if connection.execute(exists).first() is None:
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    def copy_to(self, target: Path) -> None:
        """A consistent copy while others read and write (SQLite's online backup)."""
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
        source = sqlite3.connect(self.path)
        copy = sqlite3.connect(target)
        try:
            source.backup(copy)
        finally:
            copy.close()
            source.close()

    def hold_alone(self) -> None:
        """Take the lock that only one daemon can hold on this database, until `close`.

        Raises AlreadyRunning. The lock is the kernel's: it goes with the process, however it ends.
        """
        if self._lock_file is not None:
            return
        path = self.path.with_name(f"{self.path.name}.lock")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "?"
            os.close(descriptor)
            raise AlreadyRunning(
                f"another daemon (process {holder}) already runs on {self.path}",
                remedy="Stop that one first, or use it: status, log and who work beside it.",
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._lock_file = descriptor

    def close(self) -> None:
        """Give back every connection and the lock."""
        self.engine.dispose()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _use_wal(self) -> None:
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_MS / 1000)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
        except sqlite3.OperationalError as error:
            raise _plainly(error, self.path) from error
        except sqlite3.DatabaseError as error:
            raise _damaged(self.path) from error
        finally:
            connection.close()
        if not sound:
            raise _damaged(self.path)

    def _refuse_unknown(self, found: str | None, known: list[str]) -> None:
        if found is not None and found not in known:
            raise DatabaseUnusable(
                f"{self.path} was written by a newer version of resonance-zoom (schema {found})",
                remedy="Install that version again, or name another DATABASE_URL.",
            )


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in _PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


@contextmanager
def _told_plainly(path: Path) -> Iterator[None]:
    """SQLite's own errors as ours."""
    try:
        yield
    except DatabaseError as error:
        if isinstance(error.orig, sqlite3.IntegrityError):
            raise
        if isinstance(error.orig, sqlite3.OperationalError):
            raise _plainly(error.orig, path) from error
        if isinstance(error.orig, sqlite3.DatabaseError):
            raise _damaged(path) from error
        raise


def _plainly(error: sqlite3.OperationalError, path: Path) -> ResonanceError:
    if "locked" in str(error):
        return DatabaseBusy(
            f"another process held {path} for over {BUSY_TIMEOUT_MS // 1000} seconds",
            remedy="Try again; if it lasts, look for a program that keeps the file open.",
            retry_after=1,
        )
    return DatabaseUnusable(
        f"{path}: {error}", remedy="See that the disk has room and the file is writable."
    )


def _damaged(path: Path) -> DatabaseUnusable:
    return DatabaseUnusable(
        f"{path} is damaged or no database",
        remedy="Put it aside and restore the newest backup; a new, empty one would write to"
        " everyone again.",
    )
