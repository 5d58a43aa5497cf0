"""What others rely on at a moment, and what of it is not there after a power cut."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tests.power.disk import Step
from tests.power.life import DATABASE, write_down


@dataclass
class Relied:
    """What others rely on, as the marks in a disk's log tell it."""

    acknowledged: set[tuple[str, str, int]] = field(default_factory=set)  # webhooks
    sent: set[int] = field(default_factory=set)  # letters noted as sent
    accepted: set[int] = field(default_factory=set)  # letters, in this life, not noted yet
    backups: set[str] = field(default_factory=set)

    def copy(self) -> "Relied":
        return Relied(**{one.name: getattr(self, one.name).copy() for one in fields(self)})

    def learn(self, step: Step) -> None:
        if step.what in {"sent", "settled"}:
            self.accepted.discard(step.where)
        if step.what in {one.name for one in fields(self)}:
            getattr(self, step.what).add(step.where)

    def count(self) -> dict[str, int]:
        return {one.name: len(getattr(self, one.name)) for one in fields(self)}


def losses(
    left: dict[str, bytes | None], relied: Relied, folder: Path, *, noise: bytes = b""
) -> dict[str, list[Any]]:
    """What is not there, as a fresh SQLite sees the files that are left; empty: all is well.

    `noise` is what shared memory holds: that is a file too, and may survive as it likes.
    """
    events: set[Any] = set()
    states: dict[int, tuple[str, int]] = {}
    dead = folder / "dead"
    if DATABASE in left:
        write_down(left, dead)
        if noise:
            (dead / f"{DATABASE}-shm").write_bytes(noise)
        try:
            events, states = _read(dead / DATABASE)
        except sqlite3.DatabaseError as error:
            return {"damaged": [str(error)]}
    found = {
        "acknowledged": relied.acknowledged - events,
        "sent": {one for one in relied.sent if states.get(one, ("",))[0] != "sent"},
        # Queued as if nothing had happened: it would go again and nobody would be in doubt.
        "accepted": {one for one in relied.accepted if states.get(one, ("queued", 0)) == ("queued", 0)},
        "backups": {one for one in relied.backups if not _is_whole(left.get(one), folder)},
    }  # fmt: skip
    return {kind: sorted(lost) for kind, lost in found.items() if lost}


def _read(path: Path) -> tuple[set[Any], dict[int, tuple[str, int]]]:
    """The events and the letters' states; raises DatabaseError for a file that is not whole."""
    with closing(sqlite3.connect(f"file:{path}?mode=rw&vfs=unix", uri=True)) as connection:
        if (said := connection.execute("PRAGMA integrity_check").fetchall()) != [("ok",)]:
            raise sqlite3.DatabaseError(said[0][0])
        if connection.execute("PRAGMA foreign_key_check").fetchall():
            raise sqlite3.DatabaseError("a reference leads nowhere")
        if not connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
            return set(), {}
        events = set(connection.execute("SELECT event, email_folded, event_ts FROM events"))
        letters = connection.execute("SELECT id, state, recoveries FROM letters")
        return events, {number: (state, recoveries) for number, state, recoveries in letters}


def _is_whole(backup: bytes | None, folder: Path) -> bool:
    place = folder / "backup"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "backup.db").write_bytes(backup or b"no backup")
    try:
        _read(place / "backup.db")
    except sqlite3.DatabaseError:
        return False
    return True
