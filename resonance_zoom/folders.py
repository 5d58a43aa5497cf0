"""Folders, and the names in them, that outlast a power cut.

A file that was synced is whole, and may be gone all the same: its name is its folder's.
"""

import os
from contextlib import suppress
from pathlib import Path


def make(folder: Path) -> None:
    """A folder for this user alone, and those above it that are missing, for good."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for one in missing:
        sync(one.parent)


def sync(path: Path) -> None:
    """What was written to a file so far, or made, renamed or deleted in a folder, stays so."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system can with a folder: then we go on without
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
