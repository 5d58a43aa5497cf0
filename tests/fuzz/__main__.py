"""Fuzzes the webhook and the campaign file; 1 when something was found.

python -m tests.fuzz --cases 1000000 --seed 1
python -m tests.fuzz --seed 7 --case 123         one case again, after those of its slice before it
"""

import argparse
import hashlib
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.fuzz.house import House
from tests.fuzz.play import CAMPAIGN, SLICE, WEBHOOK, Finding, Player, Report, fast_folder, player

# From the first quarter on, a process may grow by so many MB: what the allocator keeps of the
# longest bodies moves it by one or two either way; 100 bytes a case would be 37 MB in 10⁶ cases on
# two processes.
GROWTH = 8.0
SHOWN = 10  # findings

_players: list[Player] = []  # of this process: one


def _open(seed: int, folder: str) -> None:
    own = Path(folder) / str(os.getpid())
    own.mkdir()
    _players.append(Player(seed, House(own)))


def _play(given: tuple[int, int]) -> Report:
    return _players[0].play(*given)


def reports(seed: int, cases: int, processes: int) -> Iterator[Report]:
    """A report for each slice, in their order."""
    slices = [(number, min(SLICE, cases - number * SLICE)) for number in range(-(-cases // SLICE))]
    with (
        tempfile.TemporaryDirectory(dir=fast_folder()) as folder,
        multiprocessing.Pool(processes, _open, (seed, folder)) as pool,
    ):
        yield from pool.imap(_play, slices)


@dataclass
class Total:
    """What all slices showed together."""

    answers: dict[str, Counter[str]] = field(
        default_factory=lambda: {WEBHOOK: Counter(), CAMPAIGN: Counter()}
    )
    findings: list[Finding] = field(default_factory=list)
    memory: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, report: Report) -> None:
        """One more slice."""
        self.answers[report.kind] += report.answers
        self.findings += report.findings
        self.memory[report.process].append(report.memory)
        self._hash.update(report.digest.encode())

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()[:16]

    @property
    def grown(self) -> bool:
        """Whether a process holds more at the end than it may."""
        return any(last - quarter > GROWTH for quarter, last in self.marks)

    @property
    def marks(self) -> list[tuple[float, float]]:
        """MB after the first quarter and at the end, of each process."""
        return [(held[len(held) // 4], held[-1]) for held in self.memory.values()]

    def table(self, seconds: float) -> Table:
        cases = sum(counter.total() for counter in self.answers.values())
        table = Table(show_header=False, box=None, pad_edge=False)
        for kind, counter in self.answers.items():
            table.add_row(f"{kind}: cases", f"{counter.total():,}")
            for outcome, times in sorted(counter.items()):
                table.add_row(f"  {outcome}", f"{times:,}")
        table.add_row("defects", str(len(self.findings)))
        for quarter, last in self.marks:
            table.add_row("memory, quarter → end", f"{quarter:.1f} → {last:.1f} MB")
        table.add_row("answers, as a digest", self.digest)
        table.add_row("cases a second", f"{cases / seconds:,.0f} ({seconds:,.0f} s)")
        return table


def main(*words: str) -> int:
    """Play; 1 when a case shows a defect or memory grows."""
    reader = argparse.ArgumentParser(prog="python -m tests.fuzz")
    reader.add_argument("--cases", type=int, default=1_000_000)
    reader.add_argument("--seed", type=int, default=1)
    reader.add_argument("--case", type=int, help="only this one, in full")
    reader.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    wanted = reader.parse_args(words or None)
    if wanted.case is not None:
        return _again(wanted.seed, wanted.case)
    total, began = Total(), time.monotonic()
    errors = Console(stderr=True)
    with Progress(console=errors, disable=not errors.is_terminal, transient=True) as progress:
        task = progress.add_task("fuzz", total=wanted.cases)
        for report in reports(wanted.seed, wanted.cases, wanted.processes):
            total.add(report)
            progress.update(task, advance=report.cases)
    out = Console(highlight=False, markup=False, soft_wrap=True)
    out.print(total.table(time.monotonic() - began))
    for finding in total.findings[:SHOWN]:
        out.print(f"DEFECT {finding.wrong}")
        out.print(f"  python -m tests.fuzz --seed {wanted.seed} --case {finding.case}")
    if total.grown:
        out.print(f"DEFECT memory grew by more than {GROWTH:.0f} MB after the first quarter")
    return 1 if total.findings or total.grown else 0


def _again(seed: int, case: int) -> int:
    """What a case does depends on those before it in its slice, and on no others."""
    number, place = divmod(case, SLICE)
    with player(seed) as one:
        report = one.play(number, min(SLICE, place + 8))  # up to seven come at once with it
    found = [finding for finding in report.findings if finding.case == case]
    out = Console(highlight=False, markup=False, soft_wrap=True)
    out.print(f"case {case} of seed {seed}, {report.kind}: {len(found) or 'no'} defects")
    for finding in found:
        out.print(f"{finding.wrong}\n{finding.shown}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
