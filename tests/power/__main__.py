"""Cuts the power thousands of times; 1 when anything was lost that somebody relied on.

python -m tests.power --cuts 20000 --seed 1
python -m tests.power --seed 1 --cut 123         one cut again, after what came before it
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from functools import partial
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from tests.fuzz.play import fast_folder
from tests.power.cuts import EACH, Campaign, Figures, play

SHOWN = 10  # findings
ENOUGH = 2_000  # cuts after which every moment must have come


def _play(seed: int, given: tuple[int, int]) -> Figures:
    return play(seed, *given)


def main(*words: str) -> int:
    """Play campaigns side by side, print what was counted."""
    reader = argparse.ArgumentParser(prog="make power")
    reader.add_argument("--cuts", type=int, default=20_000)
    reader.add_argument("--seed", type=int, default=1)
    reader.add_argument("--cut", type=int, help="only this one, told in words")
    reader.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    given = reader.parse_args(words or None)
    if given.cut is not None:
        return _again(given.seed, given.cut)
    campaigns = [
        (number, min(EACH, given.cuts - number * EACH)) for number in range(-(-given.cuts // EACH))
    ]
    total, began = Figures(), time.monotonic()
    errors, out = Console(stderr=True), Console(highlight=False, markup=False, soft_wrap=True)
    with (
        multiprocessing.Pool(given.processes) as pool,
        Progress(console=errors, disable=not errors.is_terminal, transient=True) as progress,
    ):
        task = progress.add_task("power cuts", total=given.cuts)
        for figures in pool.imap(partial(_play, given.seed), campaigns):
            total.add(figures)
            progress.update(task, advance=figures.cuts)
    out.print(total.table())
    for found in total.found[:SHOWN]:
        out.print(f"LOST {found}"[:1000])
    never = total.never() if given.cuts >= ENOUGH else []
    for moment in never:
        out.print(f"NEVER {moment}: nothing was shown")
    out.print(
        f"{total.cuts:,} cuts, {len(total.found)} with a loss, {time.monotonic() - began:,.0f} s"
    )
    return 1 if total.found or never else 0


def _again(seed: int, cut: int) -> int:
    """A cut depends on those before it in its campaign, and on no others."""
    number = cut // EACH
    out = Console(highlight=False, markup=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        campaign = Campaign(seed, number, Path(folder))
        told = {one.number: one for one in islice(campaign.play(), EACH)}
    if cut not in told:
        out.print(f"the campaign ended before: {campaign.figures.found[-1]}")
        return 1
    out.print(told[cut].words, *told[cut].lost, sep="\n  ")
    return 1 if told[cut].lost else 0


if __name__ == "__main__":
    sys.exit(main())
