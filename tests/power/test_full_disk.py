"""A disk that is full from some write on, for every write of a morning; then there is room again."""

import random
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

from resonance_zoom import backups
from resonance_zoom.errors import ResonanceError
from tests.power.disk import Platter
from tests.power.life import DATABASE, Life, prepared, write_down
from tests.power.verdict import Relied, losses


def morning(life: Life) -> None:
    """People register, letters leave, a backup is made; what fails is tried no second time here."""
    assert life.service is not None
    store = life.service.store
    for deed in (
        lambda: life.webhooks(3),
        lambda: life.letters(1),
        lambda: backups.make(store, life.disk.folder / "var" / "backup.db"),
        lambda: life.webhooks(2),
        lambda: life.letters(2),
    ):
        with suppress(ResonanceError):
            deed()


def test_from_whichever_write_on_the_disk_is_full_all_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    """Nothing acknowledged is lost, no letter leaves unclaimed or twice, and nothing is restarted.

    Not even if the power is cut while the disk is full, and nothing survives that was not synced.
    """
    write_down(prepared(), tmp_path / "alive")
    life, chance = Life(tmp_path / "alive", random.Random(1), 0), random.Random(1)  # noqa: S311
    life.moods = False
    relied = Relied()
    platter = Platter(life.disk.begin, life.disk.log, chance)
    struck = 0
    with life.lived():
        life.start()
        assert life.service is not None
        for number in range(1, 81):
            life.disk.full_at = life.disk.writes + number
            morning(life)
            struck += life.disk.writes >= life.disk.full_at
            for step in platter.play(len(life.disk.log)):
                relied.learn(step)
            assert losses(platter.survivors(chance, "nothing"), relied, tmp_path) == {}, number
            life.disk.full_at = 0
            life.webhooks(1)
            life.letters(10)
            assert life.service.store.lost is None
        with closing(sqlite3.connect(life.disk.folder / DATABASE)) as connection:
            states = dict(connection.execute("SELECT state, count(*) FROM letters GROUP BY state"))
    left = Counter(step.where for step in life.disk.log if step.what == "accepted")
    assert set(left.values()) == {1}
    assert states == {"sent": len(left)}
    assert len(left) > 100
    assert struck > 60
