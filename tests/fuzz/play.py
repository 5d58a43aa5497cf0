"""Plays cases by the slice: each slice begins with an empty database and leaves a digest."""

import hashlib
import os
import random
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.fuzz import campaign_files
from tests.fuzz.calls import Call
from tests.fuzz.house import Answer, House
from tests.fuzz.webhooks import Draw

SLICE = 500
WEBHOOK, CAMPAIGN = "webhook", "campaign file"


@dataclass(frozen=True, slots=True)
class Finding:
    """A case that shows a defect; `shown` is the case itself, as far as it helps."""

    case: int
    wrong: str
    shown: str


@dataclass(slots=True)
class Report:
    """What a slice showed. `digest` is the same for the same seed; `memory` in MB at its end."""

    kind: str
    cases: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    digest: str = ""
    process: int = 0
    memory: float = 0.0


def kind_of(number: int) -> str:
    """Three slices of calls, then one of campaign files."""
    return CAMPAIGN if number % 4 == 3 else WEBHOOK


class Player:
    """Plays slices of one seed in a house."""

    def __init__(self, seed: int, house: House) -> None:
        self.seed, self.house = seed, house
        self.file = house.folder / "drawn.toml"
        self._hash = hashlib.sha256()

    def play(self, number: int, cases: int = SLICE) -> Report:
        """The first so many cases of a slice."""
        report = Report(kind_of(number))
        self._hash = hashlib.sha256()
        first = number * SLICE
        if report.kind == CAMPAIGN:
            self._files(report, range(first, first + cases))
        else:
            self.house.run(self._calls(report, number, range(first, first + cases)))
        report.digest = self._hash.hexdigest()
        report.process, report.memory = os.getpid(), memory()
        return report

    def _files(self, report: Report, cases: range) -> None:
        for case in cases:
            data = campaign_files.draw(self._chance(case))
            loaded = campaign_files.load(data, self.file)
            self._note(report, loaded.outcome, loaded.said.encode())
            if loaded.wrong:
                report.findings.append(Finding(case, loaded.wrong, repr(data[:4000])))

    async def _calls(self, report: Report, number: int, cases: range) -> None:
        """Every fifth slice is a storm of challenges; in every seventh several calls come at once."""
        self.house.begin()
        storm, at_once = number % 5 == 0, 8 if number % 7 == 0 else 1
        for first in cases[::at_once]:
            crowd = [self._call(case, storm=storm) for case in cases[first - cases[0] :][:at_once]]
            calls = [crowd[0], *(replace(call, moves=0) for call in crowd[1:])]
            answers, wrong = await self.house.answers(calls)
            for answer in answers:
                self._note(report, str(answer.status or "hung up"), answer.body)
            if wrong:
                shown = "\n".join(map(_shown, calls, answers))
                report.findings.append(Finding(first, wrong, shown))

    def _call(self, case: int, *, storm: bool) -> Call:
        return Draw(self._chance(case), self.house.now, storm=storm).call()

    def _chance(self, case: int) -> random.Random:
        return random.Random(f"{self.seed}/{case}")  # noqa: S311 — for cases, not for secrets

    def _note(self, report: Report, outcome: str, said: bytes) -> None:
        report.cases += 1
        report.answers[outcome] += 1
        self._hash.update(b"%b %d %b\n" % (outcome.encode(), len(said), said))


@contextmanager
def player(seed: int) -> Iterator[Player]:
    """A player with a house, in a folder that goes away with it."""
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder, House(Path(folder)) as house:
        yield Player(seed, house)


def fast_folder() -> str | None:
    """A folder in memory where the system has one: most of the time went into opening files."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and os.access(shared, os.W_OK) else None


def memory() -> float:
    """MB that this process holds; where there is no /proc, the most that it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except FileNotFoundError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (1024 * 1024 if sys.platform == "darwin" else 1024)
    return pages * resource.getpagesize() / (1024 * 1024)


def _shown(call: Call, answer: Answer) -> str:
    headers = "\n".join(f"  {name!r}: {value[:200]!r}" for name, value in call.headers)
    body = call.body
    rest = f" … {len(body)} bytes" if len(body) > 2000 else ""
    told = f" {answer.error}" if answer.error else ""
    return f"{headers}\n  {body[:2000]!r}{rest}\n  → {answer.status}{told} {answer.body[:200]!r}"
