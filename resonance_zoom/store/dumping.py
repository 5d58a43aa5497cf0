"""Copies a PostgreSQL database into a file by `pg_dump`, where that is installed."""

import os
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import URL

from resonance_zoom import folders
from resonance_zoom.errors import DatabaseUnusable, NotFound

PROGRAM = "pg_dump"


def dump(url: URL, target: Path) -> None:
    """A consistent copy while others read and write; it has its name only when it is whole.

    Raises NotFound without `pg_dump`, DatabaseUnusable when it cannot make the copy.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise NotFound(
            "pg_dump is not installed here: the backups of this database are the server's own",
            remedy="Set them up there, or install PostgreSQL's client programs on this machine.",
        )
    part = target.with_name(f"{target.name}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
        # The password goes by the environment: everybody can read the words of a command.
        made = subprocess.run(  # noqa: S603 — our own words, no shell
            [program, "--format=custom", "--no-owner", f"--file={part}", _address(url)],
            env=os.environ | ({"PGPASSWORD": str(url.password)} if url.password else {}),
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            reason = next(iter(made.stderr.splitlines()), f"it ended with {made.returncode}")
            raise DatabaseUnusable(f"pg_dump: {reason}", remedy="Look after the database server.")
        part.replace(target)
        folders.sync(target.parent)
    finally:
        part.unlink(missing_ok=True)


def _address(url: URL) -> str:
    bare = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    return f"--dbname={bare.render_as_string()}"
