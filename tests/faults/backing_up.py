"""`make backups`: backups while registrations come in and letters leave, each one looked through.

Half of them are made by the service's own process, half by another one beside it, as the command
does. What was committed before a backup began must be in it, and the writers must hardly notice.
"""

import argparse
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from resonance_zoom import backups
from resonance_zoom.store.opening import open_store
from tests.faults.besieged import wait_for
from tests.power.life import DATABASE, Life, prepared, write_down

SHARD = 100  # backups of one campaign; the next hundred begin with an empty one


@dataclass
class Figures:
    """What was counted. The three lists in seconds."""

    backups: int = 0
    damaged: int = 0
    commits_looked_for: int = 0
    commits_missing: int = 0
    written_meanwhile: int = 0
    made_in: list[float] = field(default_factory=list)
    written_in: list[float] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not (self.damaged or self.commits_missing)

    def add(self, other: "Figures") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def table(self) -> str:
        counts = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        lines = [f"{name.replace('_', ' '):32} {value:10,}" for name, value in counts.items()]
        for name, seconds in (("a backup", self.made_in), ("a commit beside it", self.written_in)):
            middle, longest = statistics.median(seconds) * 1000, max(seconds) * 1000
            lines.append(f"{name:32} {middle:7.0f} ms in the middle, {longest:,.0f} ms at most")
        return "\n".join(lines)


class Writers:
    """A service that takes in webhooks and sends letters as fast as it can, in a thread of its own."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.seconds: list[float] = []
        self.failed: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    @contextmanager
    def at_work(self) -> Iterator["Writers"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()

    def _write(self) -> None:
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                self.life.webhooks(3)
                self.seconds.append(time.monotonic() - began)
                self.life.letters(1)
        except BaseException as error:  # noqa: BLE001 — told by whoever waits for the writers
            self.failed = error

    def sure(self) -> set[tuple[str, str, int]]:
        """The notifications that were acknowledged by now."""
        if self.failed is not None:
            raise self.failed
        return {one.where for one in self.life.disk.log.copy() if one.what == "acknowledged"}


def beside(database: Path, target: Path) -> None:
    """As the command `backup` does, in whatever process."""
    store = open_store(f"sqlite:///{database}")
    store.require_current()
    try:
        backups.make(store, target)
    finally:
        store.close()


def back_up(folder: Path, *, seed: int, times: int) -> Figures:
    """So many backups of one campaign under writes."""
    figures, database = Figures(), folder / "alive" / DATABASE
    write_down(prepared(), folder / "alive")
    life = Life(folder / "alive", random.Random(seed), 0)  # noqa: S311 — drawn, not secret
    with ProcessPoolExecutor(1) as pool:
        pool.submit(abs, 0).result()  # before there is a thread: the child is a copy of us
        with life.lived(nullcontext):  # no power is cut here
            life.start(tidy_every=1000)  # as it is
            assert life.service is not None
            with Writers(life).at_work() as writers:
                for number in range(times):
                    _when_more_was_written(writers, number)
                    target, sure = folder / f"{number}.db", writers.sure()
                    before, began = len(writers.seconds), time.monotonic()
                    if number % 2:
                        pool.submit(beside, database, target).result()
                    else:
                        backups.make(life.service.store, target)
                    figures.made_in.append(time.monotonic() - began)
                    figures.written_meanwhile += len(writers.seconds) - before
                    _look_through(target, sure, figures)
                    target.unlink()
    figures.written_in = writers.seconds
    return figures


def _when_more_was_written(writers: Writers, number: int) -> None:
    wait_for(lambda: writers.failed or len(writers.seconds) > 2 * number)


def _look_through(target: Path, sure: set[tuple[str, str, int]], figures: Figures) -> None:
    figures.backups += 1
    figures.commits_looked_for += len(sure)
    with closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True)) as connection:
        whole = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = set(connection.execute("SELECT event, email_folded, event_ts FROM events"))
    figures.damaged += not whole
    figures.commits_missing += len(sure - found)


def main() -> int:
    """Campaign after campaign; 1 when a backup was damaged or lacked what was committed before."""
    reader = argparse.ArgumentParser(prog="make backups")
    reader.add_argument("--backups", type=int, default=1000)
    given = reader.parse_args()
    total, began = Figures(), time.monotonic()
    errors, out = Console(stderr=True), Console(highlight=False, markup=False, soft_wrap=True)
    with Progress(console=errors, disable=not errors.is_terminal, transient=True) as progress:
        task = progress.add_task("backups", total=given.backups)
        for seed in range(-(-given.backups // SHARD)):
            with tempfile.TemporaryDirectory() as folder:
                times = min(SHARD, given.backups - seed * SHARD)
                total.add(back_up(Path(folder), seed=seed, times=times))
            progress.update(task, advance=times)
    out.print(total.table())
    out.print(f"{total.backups:,} backups, {time.monotonic() - began:,.0f} s")
    return 0 if total.sound else 1


if __name__ == "__main__":
    sys.exit(main())
