"""What every database of a campaign does for us: readers beside one writer, durable at commit.

The rooms behind it are `sqlite` (a file, one machine) and `postgresql` (a server, many machines);
`opening.open_store` makes the one that DATABASE_URL names. Both have ONE WRITER at a time, so that
what a transaction has read stays true until it writes. Throughput comes from groups, see `groups`.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from resonance_zoom.errors import DatabaseBusy, DatabaseUnusable, ResonanceError

HEAD = "0007"  # the newest migration; a test holds it to the scripts
# Zoom waits for three seconds, and comes again after five minutes. Going on after its three is
# right all the same: what is stored in the fourth second sends its letter now, and the repetition
# changes nothing.
BUSY_TIMEOUT_MS = 5000


class Store(ABC):
    """The database of one campaign. Leaving a `write()` block commits, an exception rolls back."""

    engine: Engine
    name: str  # as messages call it, without a password
    stem: str  # what its backups are called,
    suffix: str  # and how they end
    folder: Path  # of this machine's data: Maildir, receipts, backups
    shared: bool  # by processes on several machines

    def __init__(self) -> None:
        # Waiting for our own threads here is fair and wakes at once, where the database would poll,
        # or keep a connection for each who waits.
        self._writer = threading.RLock()
        self.lost: ResonanceError | None = None  # why nothing may be written any more

    @abstractmethod
    def read(self) -> AbstractContextManager[Connection]:
        """A consistent view; nothing is written."""

    @abstractmethod
    def write(self) -> AbstractContextManager[Connection]:
        """One transaction that may write, alone. Raises DatabaseBusy when another one holds on.

        Raises DatabaseUnusable, and commits nothing, when the database was lost.
        """

    @abstractmethod
    def prepare(self) -> None:
        """Create or migrate the database, once, however many processes begin at the same time.

        Raises DatabaseUnusable for a damaged one, and one written by a newer version.
        """

    @abstractmethod
    def exists(self) -> bool:
        """Whether a campaign was begun here."""

    @abstractmethod
    def look_after(self) -> None:
        """Raises what is in `lost`, after a look whether the database and our lock are there."""

    @abstractmethod
    def copy_to(self, target: Path) -> None:
        """A consistent copy in a file, while others read and write. Raises DatabaseUnusable."""

    @abstractmethod
    def scrub(self) -> None:
        """Leave nothing that can be read of what was deleted. Raises DatabaseBusy."""

    @abstractmethod
    def hold_alone(self) -> None:
        """Take the lock that only one clock can hold on this database, until `close`.

        Raises AlreadyRunning. The lock goes with the process, however it ends.
        """

    @abstractmethod
    def _told_plainly(self) -> AbstractContextManager[None]:
        """The database's own errors as ours."""

    def require_current(self) -> None:
        """For commands beside the daemon: the database must exist and be of this version."""
        if not self.exists():
            raise DatabaseUnusable(
                f"there is no database at {self.name} yet",
                remedy="Start the campaign first: resonance-zoom run",
            )
        with self._told_plainly():
            found = self.revision()
        if found is None or found < HEAD:
            raise DatabaseUnusable(
                f"{self.name} was written by an older version",
                remedy="Start the daemon once, it migrates the database: resonance-zoom run",
            )
        self._refuse_unknown(found, [HEAD])

    def revision(self) -> str | None:
        """The migration that the database stands at, None for an empty one."""
        with self.engine.connect() as connection:
            return revision_on(connection)

    def note_how_far(self) -> None:  # noqa: B027 — a server looks after its own data
        """Note how far the data go, so that older ones in their place are noticed."""

    def wake(self, job: str) -> None:  # noqa: B027 — where nobody can hear it, nothing is said
        """Ask the clock, in whatever process, to run a job now; unheard, it runs at its time."""

    def heard(self) -> Iterator[str | None]:
        """The jobs that other processes wake, as they come; None now and then, when none did."""
        return iter(())

    def close(self) -> None:
        """Give back every connection and the lock."""
        self.engine.dispose()

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        # With an end: behind a database that stays locked, calls would pile up until no thread of
        # the web server is left.
        if not self._writer.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise self._busy()
        try:
            yield
        finally:
            self._writer.release()

    def _busy(self) -> DatabaseBusy:
        return DatabaseBusy(
            f"another process held {self.name} for over {BUSY_TIMEOUT_MS // 1000} seconds",
            remedy="Try again; if it lasts, look for a program that keeps the database open.",
            retry_after=1,
        )

    def _refuse_unknown(self, found: str | None, known: list[str]) -> None:
        if found is not None and found not in known:
            raise DatabaseUnusable(
                f"{self.name} was written by a newer version of resonance-zoom (schema {found})",
                remedy="Install that version again, or name another DATABASE_URL.",
            )

    def _refuse_tables_of_others(self, connection: Connection) -> None:
        if inspect(connection).get_table_names():
            raise DatabaseUnusable(
                f"{self.name} is the database of another program",
                remedy="Name another one in DATABASE_URL.",
            )


def revision_on(connection: Connection) -> str | None:
    """The same as `Store.revision`, within a transaction."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
