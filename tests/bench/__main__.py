"""`make bench`: everything that was promised about speed, in one table and in var/bench.json.

`python -m tests.bench webhooks letters` measures single parts; `--quick` less of everything, too
little to trust; `--rounds 5` more of it.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tests.bench import (
    acknowledgements,
    daemons,
    growth,
    letters,
    rehearsals,
    sweeps,
    webhooks,
)
from tests.bench.report import Report
from tests.bench.sizes import QUICK, Sizes

KEPT = Path("var/bench")  # on a disk: a memory would commit for nothing
RESULT = Path("var/bench.json")
PARTS: dict[str, Callable[[Report, Path, Sizes], None]] = {
    "webhooks": webhooks.measure,
    "acknowledgements": acknowledgements.measure,
    "letters": letters.measure,
    "sweep": sweeps.measure,
    "rehearsal": rehearsals.measure,
    "growth": growth.measure,
    "daemon": daemons.measure,  # the last: its wave takes what time there is
}


def fsync_milliseconds(folder: Path) -> float:
    """How long the disk takes to keep a page: no commit is faster."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(50):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(times), 3)


def measure(report: Report, parts: Sequence[str], sizes: Sizes, kept: Path) -> None:
    """The parts one after the other, each in a folder that is gone afterwards."""
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    report.fsync_ms = fsync_milliseconds(kept)
    for name in parts:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=kept))
        report.tell(f"{name} …")
        try:
            PARTS[name](report, folder, sizes)
        finally:
            shutil.rmtree(folder)


def main() -> None:
    """What the command line asks for."""
    asked = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    asked.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; or all")
    asked.add_argument("--rounds", type=int, help="how often each is measured")
    asked.add_argument("--quick", action="store_true", help="less of everything")
    said = asked.parse_args()
    if unknown := {*said.parts} - {*PARTS}:
        asked.error(f"no such part: {', '.join(sorted(unknown))}")
    sizes = QUICK if said.quick else Sizes()
    sizes = replace(sizes, rounds=said.rounds or sizes.rounds)
    report = Report()
    report.lacks("two machines: everything runs on this one, the load beside what is loaded")
    try:
        measure(report, said.parts or list(PARTS), sizes, KEPT)
    finally:  # what was measured before a fault is worth having
        report.write(RESULT)
        sys.stdout.write(report.table() + f"\nThe same in {RESULT}.\n")


if __name__ == "__main__":
    main()
