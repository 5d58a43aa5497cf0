"""`make bench`: everything that was promised about speed, in one table and in var/bench.json.

`python -m tests.bench webhooks letters` measures single parts; `--quick` less of everything, too
little to trust; `--rounds 5` more of it.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tests.bench import letters, sweeps, webhooks
from tests.bench.report import Report
from tests.bench.sizes import QUICK, Sizes

KEPT = Path("var/bench")  # on a disk: a memory would commit for nothing
RESULT = Path("var/bench.json")
PARTS: dict[str, Callable[[Report, Path, Sizes], None]] = {
    "webhooks": webhooks.measure,
    "letters": letters.measure,
    "sweep": sweeps.measure,
}


def measure(report: Report, parts: Sequence[str], sizes: Sizes, kept: Path) -> None:
    """The parts one after the other, each in a folder that is gone afterwards."""
    kept.mkdir(parents=True, exist_ok=True)
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
    asked.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all, unless some are named")
    asked.add_argument("--rounds", type=int)
    asked.add_argument("--quick", action="store_true")
    said = asked.parse_args()
    sizes = QUICK if said.quick else Sizes()
    sizes = replace(sizes, rounds=said.rounds or sizes.rounds)
    report = Report()
    report.lacks("two machines: everything runs on this one, the load beside what is loaded")
    measure(report, said.parts or list(PARTS), sizes, KEPT)
    report.write(RESULT)
    sys.stdout.write(report.table() + f"\nThe same in {RESULT}.\n")


if __name__ == "__main__":
    main()
