"""Plays one seed and says what it found."""

import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.campaigns import invariants
from tests.campaigns.draw import POINTS, draw
from tests.campaigns.stage import Play

SHM = Path("/dev/shm")  # memory, where there is any: nothing here is about the disk


@dataclass(frozen=True, slots=True)
class Result:
    """A campaign that was played: what was broken, what happened, its fingerprint."""

    seed: int
    violations: tuple[str, ...]
    happened: Counter[str] = field(default_factory=Counter)
    letters: int = 0
    digest: str = ""
    seconds: float = 0.0


def play(seed: int, *, on: frozenset[str] | None = None) -> Result:
    """The campaign of a seed; the same seed gives the same result, but for `seconds`."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="campaign-", dir=SHM if SHM.is_dir() else None))
    try:
        stage = Play(draw(seed, on=on), folder)
        try:
            stage.play_out()
            violations = (*stage.violations, *invariants.at_the_end(stage))
        finally:
            stage.service.close()
        happened = stage.hazards.happened + stage.zoom.faults.happened
        return Result(
            seed,
            violations,
            happened,
            len(stage.memory.relay.accepted),
            stage.digest(),
            time.monotonic() - began,
        )
    finally:
        shutil.rmtree(folder)


# A fault that never happens tests nothing: over many campaigns each of these is met.
MUST_HAPPEN = (
    "lost",
    "duplicated",
    "delayed",
    "reordered",
    "stale",
    "bad-signature",
    "webhooks down",
    "retries exhausted",
    "listing lagged",
    "tokens expired",
    "zoom down",
    *("timeout-before", "timeout-after", "html", "truncated", "cut-off", "wrong-type"),
    *("401", "404", "429", "500", "503"),
    "moved on zoom",
    "deleted on zoom",
    "file edited",
    *("mail 4xx", "mail broken before", "mail unreachable", "answer lost"),
    *(f"crash {point}" for point in POINTS),
    "died while booting",
    "database busy",
    "database full",
    "clock jumped",
    "second daemon",
    "resent by staff",
    "backup restored",
    "held letter sent",
    "person erased",
)
