"""What lies beside a database: the lock of its one daemon, and the note that it was made."""

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path

from resonance_zoom import folders
from resonance_zoom.errors import AlreadyRunning, DatabaseUnusable

_LINES = re.compile(r"goes to line (\d+)")
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


def note_how_far(database: Path, lines: int) -> None:
    """From now on the loss of this database is noticed, and that of its newest lines."""
    is_new = not _note(database).exists()
    descriptor = os.open(_note(database), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{database.name} was made here. If it is missing, it was lost.\n")
        file.write(f"Its journal goes to line {lines} or beyond.\n")
    if is_new:
        folders.sync(database.parent)


def refuse_an_older_one(database: Path, lines: int) -> None:
    """Raises DatabaseUnusable when the journal once went further: what left would leave again."""
    try:
        noted = _LINES.search(_note(database).read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return
    if noted and lines < int(noted[1]):
        raise DatabaseUnusable(
            f"the database {database} is older than the one that was here (its journal ends at line"
            f" {lines} and went to {noted[1]}): an older copy was put in its place, or its log"
            f" {database.name}-wal was deleted or damaged",
            remedy="Put the newer one back, with its log. If it is gone, go on with this one, which"
            f" holds back letters that may have left: resonance-zoom restore {database}",
        )


def refuse_to_begin_anew(database: Path) -> None:
    """Raises DatabaseUnusable where one once was: a new one would write to everyone again."""
    if _note(database).exists():
        raise DatabaseUnusable(
            f"the database that was at {database} is missing or empty",
            remedy=f"{RESTORE_IT} Only to begin anew on purpose, delete {_note(database)} first.",
        )


def _note(database: Path) -> Path:
    return database.with_name(f"{database.name}.made")
