"""A campaign on a database server, for several processes on several machines: PostgreSQL.

One writer at a time, as on SQLite: a transaction that may write begins by taking an advisory lock,
and sees all that was committed before. Readers have a consistent view and wait for nobody. Locks
that outlast a transaction (of the one clock) hang on a connection of their own: when
its process ends, or its machine is gone for eight seconds, the server gives them back.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from resonance_zoom import folders
from resonance_zoom.errors import (
    AlreadyRunning,
    DatabaseBusy,
    DatabaseLost,
    DatabaseUnusable,
    ResonanceError,
)
from resonance_zoom.store import dumping, engine
from resonance_zoom.store.tables import metadata

CHANNEL = "resonance_zoom"
OURS = 0x5A6F6F6D  # advisory locks are a namespace of the whole database: this one is ours
WRITER, CLOCK = 1, 2
GONE_AFTER = 8  # seconds without a sign of life: a machine that lost its power says no goodbye
_LISTEN_SECONDS = 1.0
_SESSION = {
    "synchronous_commit": "on",  # whatever the server's default: what is acknowledged is on disk
    "lock_timeout": engine.BUSY_TIMEOUT_MS,
    "statement_timeout": 60_000,
    "idle_in_transaction_session_timeout": 60_000,
    "tcp_keepalives_idle": 4,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 2,
    "tcp_user_timeout": GONE_AFTER * 1000,
    "timezone": "UTC",
}
_CONNECT = {
    "connect_timeout": 5,
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": GONE_AFTER * 1000,
    "target_session_attrs": "read-write",  # of several hosts, the one that can be written to
    "application_name": "resonance-zoom",
}
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_HELD_UP = {"55P03", "40001", "40P01", "57014", "53300"}
_LOST = {"57P01", "57P02", "57P03", "57P05", "25P03"}
_FAULTY = {"XX001", "XX002"}


class PostgresqlStore(engine.Store):
    """The campaign's database on a server."""

    shared, suffix = True, ".dump"
    _bytewise = "SELECT 'Z' < 'a' AND 'a.b' < 'a/a'"

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = make_url(url)
        if "@" in (self.url.host or ""):
            # What stands before the last @ is the end of a password: it would be told as a host.
            raise ValueError("an @ in the password")
        self.name = f"{self.url.host or 'localhost'}/{self.url.database}"
        self.stem, self.folder = self.url.database or "resonance", Path("var")
        self.engine = create_engine(
            self.url,
            pool_pre_ping=True,
            pool_size=4,
            max_overflow=8,
            pool_timeout=engine.BUSY_TIMEOUT_MS / 1000,
            pool_recycle=1800,
            connect_args=_connecting(self.url),
            hide_parameters=True,
        )
        self._reading = self.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        # Connections that are never lent to anybody else, outside any transaction.
        self._apart = create_engine(
            self.url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args=_connecting(self.url),
            hide_parameters=True,
        )
        self._locks: Connection | None = None  # what our own locks hang on
        self._locking = threading.Lock()
        self._ringing: ThreadPoolExecutor | None = None
        self._to_wake: set[str] = set()
        self._wakes = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view; nothing is written."""
        with self._told_plainly(), self._reading.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write, alone. Raises DatabaseBusy when another one holds on.

        A connection that breaks is DatabaseLost, even while the answer to the COMMIT is on its way:
        then nobody knows whether it was stored, and it counts as not stored. What is done again is
        known by its key (an event, a letter owed, a form); a letter that was claimed so is in
        doubt; only a command's own act may then stand in the journal twice.
        """
        with (
            self._my_turn(),
            self._told_plainly(),
            self.engine.connect() as connection,
            connection.begin(),
        ):
            _take(connection, WRITER)
            yield connection

    def exists(self) -> bool:
        """Whether a campaign was begun here. Raises DatabaseLost when the server is away."""
        with self._told_plainly():
            return self.revision() is not None

    def prepare(self) -> None:
        """Create or migrate the database, once, however many processes begin at the same time.

        All of it is one transaction, for which everybody else who writes waits. Raises
        DatabaseUnusable for another program's, one of a newer version, and one that sorts words.
        """
        folders.make(self.folder)
        with self._told_plainly():
            if self.revision() == engine.HEAD:
                return
            with self.engine.connect() as connection, connection.begin():
                for name in ("lock_timeout", "statement_timeout"):
                    connection.execute(text(f"SET LOCAL {name} = 0"))
                _take(connection, WRITER)
                self._migrate(connection)

    def _migrate(self, connection: Connection) -> None:
        # Imported here: alembic costs a third of a second that only a migration should pay.
        from resonance_zoom.store.migrations import known_revisions, upgrade_on

        found = engine.revision_on(connection)
        if found == engine.HEAD:
            return
        self._refuse_unknown(found, known_revisions())
        if found is None:
            self._refuse_tables_of_others(connection)
            self._refuse_dictionaries(connection)
        upgrade_on(connection)

    def _refuse_dictionaries(self, connection: Connection) -> None:
        # A prefix is sought as a range, and lists are cut where a page ended: both want bytes.
        bytewise = connection.execute(text(self._bytewise)).scalar()
        encoding = connection.execute(text("SHOW server_encoding")).scalar()
        if not bytewise or encoding != "UTF8":
            name = self.url.database
            raise DatabaseUnusable(
                f"{self.name} sorts as a dictionary does, or is not in UTF-8",
                remedy=f"Make it so: CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"
                " LOCALE 'C'",
            )

    def look_after(self) -> None:
        """Raises ResonanceError when the connection that our locks hang on is gone."""
        if self.lost is not None:
            raise self.lost
        with self._locking:
            if self._locks is None:
                return
            try:
                self._locks.exec_driver_sql("SELECT 1")
            except DBAPIError as error:
                raise ResonanceError(
                    f"the connection to {self.name} that the locks hang on is lost",
                    remedy="Start the process again; another one may have taken over.",
                ) from error

    def copy_to(self, target: Path) -> None:
        """A dump in PostgreSQL's own format, by `pg_dump`. Raises DatabaseUnusable."""
        dumping.dump(self.url, target)

    def scrub(self) -> None:
        """Free what was deleted for other rows to overwrite; nobody reads it by SQL any more.

        The bytes stay in the server's files until then, in its log until that is recycled, and in
        its own backups as long as these are kept. Raises DatabaseBusy.
        """
        with self._told_plainly(), self._apart.connect() as connection:
            connection.exec_driver_sql("SET statement_timeout = 0")
            for table in metadata.sorted_tables:
                connection.exec_driver_sql(f"VACUUM {table.name}")

    def hold_alone(self) -> None:
        """Take the lock that only one clock can hold on this database, until `close`.

        Raises AlreadyRunning. The server gives it back when this process ends, however it does.
        """
        with self._told_plainly(), self._locking:
            taken = text("SELECT pg_try_advisory_lock(:ours, :which)")
            if not self._own().execute(taken, {"ours": OURS, "which": CLOCK}).scalar():
                raise AlreadyRunning(
                    f"another daemon is the clock of {self.name}",
                    remedy="Stop that one first, or let this one stand by: resonance-zoom clock",
                )

    def wake(self, job: str) -> None:
        """Ask the clock, in whatever process, to run a job now; unheard, it runs at its time.

        Nobody waits for it: it is said by a thread of its own, and many at once are one.
        """
        with self._wakes:
            first = not self._to_wake
            self._to_wake.add(job)
            if self._ringing is None:
                self._ringing = ThreadPoolExecutor(1, thread_name_prefix="wake")
        if first:
            self._ringing.submit(self._ring)

    def _ring(self) -> None:
        with self._wakes:
            jobs, self._to_wake = self._to_wake, set()
        say = text("SELECT pg_notify(:channel, :job)")
        # Otherwise the thread would end; the job runs at its own time.
        with suppress(ResonanceError), self._told_plainly(), self._apart.connect() as connection:
            for job in sorted(jobs):
                connection.execute(say, {"channel": CHANNEL, "job": job})

    def heard(self) -> Iterator[str | None]:
        """The jobs that other processes wake, as they come; None every second without one.

        Raises DatabaseLost; what was said until somebody listens again is not heard.
        """
        with self._told_plainly(), self._apart.connect() as connection:
            connection.exec_driver_sql(f"LISTEN {CHANNEL}")
            driver: Any = connection.connection.driver_connection
            while True:
                for notice in driver.notifies(timeout=_LISTEN_SECONDS, stop_after=1):
                    yield notice.payload
                yield None

    def close(self) -> None:
        """Say what is still to be said, give back every connection and the locks."""
        if self._ringing is not None:
            self._ringing.shutdown()
            self._ringing = None
        with self._locking:
            if self._locks is not None:
                self._locks.close()
                self._locks = None
        super().close()

    def _own(self) -> Connection:
        """The connection that our locks hang on; a new one has none of them."""
        if self._locks is None or self._locks.invalidated:
            self._locks = self._apart.connect()
        return self._locks

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        """PostgreSQL's own errors as ours."""
        if self.lost is not None:
            raise self.lost
        try:
            yield
        except NoConnectionFree as error:
            raise self._busy() from error
        except DBAPIError as error:
            if (plain := self._plainly(error.orig, gone=error.connection_invalidated)) is None:
                raise
            raise plain from error
        except psycopg.Error as error:  # of a connection that is listened to
            raise self._gone(error) from error

    def _plainly(self, error: object, *, gone: bool) -> ResonanceError | None:
        """What the server says as an error of ours; None for what is a mistake of ours."""
        code = getattr(error, "sqlstate", None) or ""
        unreachable = isinstance(error, psycopg.OperationalError) and not code
        if gone or unreachable or code in _LOST or code.startswith("08"):
            return self._gone(error)
        if code in _HELD_UP:
            return self._busy()
        if code in _FAULTY:
            self.lost = self._unusable(error)
            return self.lost
        if code[:2] in {"53", "58", "28", "3D"} or code in {"42501", "25006"}:
            return self._unusable(error)
        return None

    def _gone(self, error: object) -> DatabaseBusy:
        return DatabaseLost(
            f"no connection to the database {self.name}: {_first_line(error)}",
            remedy="Try again; if it lasts, look after the database server.",
            retry_after=1,
        )

    def _unusable(self, error: object) -> DatabaseUnusable:
        return DatabaseUnusable(
            f"{self.name}: {_first_line(error)}", remedy="Look after the database server."
        )


def _take(connection: Connection, which: int) -> None:
    """Hold a lock until the transaction ends."""
    lock = text("SELECT pg_advisory_xact_lock(:ours, :which)")
    connection.execute(lock, {"ours": OURS, "which": which})


def _connecting(url: URL) -> dict[str, Any]:
    settings = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
    asked = url.query.get("options", "")
    options = {"options": f"{settings} {asked}".strip()}
    defaults = {name: value for name, value in _CONNECT.items() if name not in url.query}
    return defaults | options


def _first_line(error: object) -> str:
    """What is wrong; the lines after may quote the values of a row."""
    return next(iter(str(error).splitlines()), "no answer")
