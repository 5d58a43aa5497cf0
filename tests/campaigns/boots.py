"""I29: booting several times in a row, dying at any point of it, leaves what booting once leaves."""

import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resonance_zoom import daemon
from resonance_zoom.service import open_service
from resonance_zoom.settings import Secret
from tests.campaigns.hazards import Crash

if TYPE_CHECKING:
    from tests.campaigns.stage import Play

STARTS = 4  # in a row, and the one that counts
# What every start writes anew: that it started, that it is alive, what the jobs did.
OWN = {"runs", "journal", "seen_moves", "staff_act_chain", "sqlite_sequence"}
OF_THE_MOMENT = {"last_alive", "backed_up", "pace"}


def before(play: "Play", *, in_a_row: int) -> None:
    """At a boot of a seed with crash loops: the start dies over and over; then it may not matter.

    The same start, once, on a copy beside, says what must stand there in the end. The boot that
    follows dies as well, somewhere in its jobs, until it has been tried often enough.
    """
    if "crash loops" not in play.plan.rates or play.damaged or play.hazards.open:
        return
    if not in_a_row and play.memory.fresh("SELECT 1 FROM meta"):
        _starts_in_a_row(play)
    if in_a_row < play.plan.rates["crash loops"]:
        play.hazards.fuse = play.hazards.rng.randrange(60)


def _starts_in_a_row(play: "Play") -> None:
    once = play.file.with_name("once")
    once.mkdir()
    try:
        with (
            closing(sqlite3.connect(play.memory.database)) as source,
            closing(sqlite3.connect(once / "resonance.db")) as copy,
        ):
            source.backup(copy)
        settings = replace(
            play.memory.settings, database_url=Secret(f"sqlite:///{once / 'resonance.db'}")
        )
        beside = open_service(settings, now=play.service_time, monotonic=play.steady)
        daemon.start_up(beside)
        beside.close()
        wanted = _said(once / "resonance.db")
        for number in range(STARTS):
            _start(play, dies_after=play.hazards.rng.randrange(3) if number + 1 < STARTS else None)
        found = _said(play.memory.database)
    finally:
        shutil.rmtree(once)
    play.hazards.happened["started several times in a row"] += 1
    play.violations += _differing(play, wanted, found, "starting several times, and once")


def _start(play: "Play", *, dies_after: int | None) -> None:
    play.hazards.fuse = dies_after
    service = play._open(play.memory.settings)
    with suppress(Crash):
        daemon.start_up(service)
    play.hazards.fuse = None
    service.close()


def after(play: "Play") -> None:
    """A boot that went well is done again at the same moment: everything is as it was."""
    calm = not play.hazards.open and not play.skew and play.memory.relay.begun
    if "crash loops" not in play.plan.rates or not calm:
        return
    if any(meeting.deleted for meeting in play.zoom.meetings.values()) or play.plan.rates.keys() & {
        "answer lost",
        "second daemon",
    }:
        return  # a second look, or another lost answer, rightly changes what is known
    crashes, play.hazards.crashes = play.hazards.crashes, []
    wanted = _said(play.memory.database)
    try:
        for _ in range(2):
            play.memory.disconnect()
            play.service.close()
            play._woken.clear()
            play._boot()
    finally:
        play.hazards.crashes = crashes
    play.hazards.happened["booted once more for nothing"] += 1
    play.violations += _differing(
        play, wanted, _said(play.memory.database), "booting once more, and not"
    )


def _said(path: Path) -> dict[str, list[Any]]:
    """Every row that lasts, by table."""
    with closing(sqlite3.connect(path)) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            )
            if name not in OWN
        ]
        said = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}  # noqa: S608 — our own tables
        said["lines"] = connection.execute(
            "SELECT kind, message FROM journal WHERE level <> 'debug'"
            " AND kind NOT IN ('service.started', 'service.behind')"
        ).fetchall()
    said["meta"] = [row for row in said["meta"] if row[0] not in OF_THE_MOMENT]
    return said


def _differing(
    play: "Play", wanted: dict[str, list[Any]], found: dict[str, list[Any]], what: str
) -> list[str]:
    told = []
    for name, rows in wanted.items():
        more = [row for row in found[name] if row not in rows]
        lacks = [row for row in rows if row not in found[name]]
        if more or lacks:
            told.append(f"I29 {play.clock()}: {what}: {name} has {more} and lacks {lacks}")
    return told
