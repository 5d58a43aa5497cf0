"""What lies beside a database: the lock of its one daemon, and the note that it was made."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from resonance_zoom import folders
from resonance_zoom.errors import AlreadyRunning, DatabaseUnusable

RESTORE_IT = "Put aside what is there and restore the newest backup."


def lock(database: Path) -> int:
    """Take the lock that only one daemon can hold on this database; the open descriptor holds it.

    Raises AlreadyRunning. The lock is the kernel's: it goes with the process, however it ends.
    """
    path = database.with_name(f"{database.name}.lock")
    folders.make(path.parent)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode(errors="replace").strip() or "?"
        os.close(descriptor)
        raise AlreadyRunning(
            f"another daemon (process {holder}) already runs on {database}",
            remedy="Stop that one first, or use it: status, log and who work beside it.",
        ) from None
    with suppress(OSError):  # a full disk: the lock holds, it only does not say whose it is
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def note_that_it_was_made(database: Path) -> None:
    """From now on the loss of this database is noticed."""
    if not _note(database).exists():
        descriptor = os.open(_note(database), os.O_CREAT | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{database.name} was made here. If it is missing, it was lost.\n")
        folders.sync(database.parent)


def refuse_to_begin_anew(database: Path) -> None:
    """Raises DatabaseUnusable where one once was: a new one would write to everyone again."""
    if _note(database).exists():
        raise DatabaseUnusable(
            f"the database that was at {database} is missing or empty",
            remedy=f"{RESTORE_IT} Only to begin anew on purpose, delete {_note(database)} first.",
        )


def _note(database: Path) -> Path:
    return database.with_name(f"{database.name}.made")
