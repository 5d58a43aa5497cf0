"""A sync that fails: nothing is said to be stored any more, the daemon ends, a new start is sound.

After a failed fsync the system drops what it was for and shows it all the same: only what is synced
anew is on the disk. https://wiki.postgresql.org/wiki/Fsync_Errors
"""

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from resonance_zoom.errors import DatabaseUnusable, ResonanceError
from tests.faults.besieged import PATIENCE, wait_for
from tests.faults.kill import Siege
from tests.power.disk import Platter
from tests.power.life import DATABASE, Life, prepared, write_down
from tests.power.verdict import Relied, losses

ON_A_DISK_THAT_BREAKS = """
from pathlib import Path
from resonance_zoom import cli
from tests.power.disk import Disk
from tests.power.plug import plugged
import sys

sys.argv = ["resonance-zoom", "run"]
disk = Disk(Path.cwd())
disk.sync_fails = Path("broken").exists
with plugged(disk):
    cli.main()
"""


def act(life: Life) -> None:
    """A small morning: people register, letters leave."""
    for _ in range(2):
        life.webhooks(2)
        life.letters(1)


def a_life(folder: Path) -> Life:
    write_down(prepared(), folder / "alive")
    return Life(folder / "alive", random.Random(2), 0)  # noqa: S311 — it must repeat


def lost_if_power_is_cut_now(life: Life, folder: Path) -> dict[str, list[Any]]:
    """Nothing survives that was not synced, or was for a sync that failed."""
    relied, chance = Relied(), random.Random(1)  # noqa: S311
    platter = Platter(life.disk.begin, life.disk.log, chance, failed_survives=0)
    for step in platter.play(len(life.disk.log)):
        relied.learn(step)
    return losses(platter.survivors(chance, "nothing"), relied, folder)


def test_whichever_sync_fails_the_service_stops_and_a_new_start_loses_nothing(
    tmp_path: Path,
) -> None:
    """Whether it ends by itself or is killed, and if power is cut after the new start has worked."""
    with a_life(tmp_path).lived() as life:
        life.start()
        act(life)
        syncs = life.disk.syncs
    assert syncs > 15
    stopped = 0
    for number in range(1, syncs + 1):
        life = a_life(tmp_path)
        life.disk.fails_at = number
        with life.lived():
            stopped += _meets_it(life)
            life.die() if number % 2 else life.stop()
            life.disk.over, life.disk.fails_at = False, 0
            life.start()
            act(life)
            assert lost_if_power_is_cut_now(life, tmp_path) == {}, number
    assert stopped > syncs / 2  # the others were of checkpoints: those are done again, whole


def _meets_it(life: Life) -> bool:
    """Works until the sync fails; whether the service stopped over it."""
    try:
        life.start()
    except DatabaseUnusable:
        return True
    try:
        act(life)
    except DatabaseUnusable:
        _does_nothing_more(life)
        return True
    return False


def _does_nothing_more(life: Life) -> None:
    assert life.service is not None
    before = len(life.disk.log)
    for deed in (lambda: life.webhooks(1), lambda: life.letters(1)):
        with pytest.raises(ResonanceError, match="disk I/O error"):
            deed()
    with pytest.raises(DatabaseUnusable, match="disk I/O error"):
        life.service.store.look_after()  # what the daemon asks every second, and ends for
    assert life.disk.log[before:] == []


def test_no_commit_comes_to_stand_behind_what_a_failed_sync_left_in_the_log(
    tmp_path: Path,
) -> None:
    """A reader that is there between the kill and the new start keeps the log from being emptied."""
    life = a_life(tmp_path)
    with life.lived():
        life.start(tidy_every=1000)
        life.webhooks(3)
        life.disk.fails_at = life.disk.syncs + 1
        with pytest.raises(DatabaseUnusable):
            life.webhooks(3)
        life.die()
        life.disk.over = False
        with closing(sqlite3.connect(life.disk.folder / DATABASE)) as reader:
            # It reads what was acknowledged, and what was not: the system still shows it.
            assert reader.execute("SELECT count(*) FROM events").fetchone() == (len(life.told),)
            life.start(tidy_every=1000)
            life.webhooks(3)
            assert lost_if_power_is_cut_now(life, tmp_path) == {}


def test_a_daemon_whose_disk_fails_a_sync_ends_itself_and_the_next_start_loses_nothing(
    tmp_path: Path,
) -> None:
    with Siege(tmp_path, seed=1) as siege:
        siege.begin()
        with siege.running("-c", ON_A_DISK_THAT_BREAKS) as daemon:
            daemon.wait_until_ready()
            siege.address(daemon)
            siege.pour()
            wait_for(siege.acknowledged)
            (tmp_path / "broken").touch()
            siege.pour()
            assert daemon.process.wait(PATIENCE) == 1
        assert "disk I/O error" in "".join(daemon.said)
        assert siege.missing() == set()
        (tmp_path / "broken").unlink()
        figures = siege.end()
    assert figures.sound
    assert figures.acknowledged > 0
