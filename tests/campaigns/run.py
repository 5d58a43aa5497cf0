"""Plays one seed and says what it found."""

import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.campaigns import erasures, invariants, twice
from tests.campaigns.draw import Plan
from tests.campaigns.stage import Play
from tests.campaigns.trouble import POINTS, draw

PLAYED_AGAIN = 25  # one campaign of so many
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


def play(seed: int, *, on: frozenset[str] | None = None, older: bool = False) -> Result:
    """The campaign of a seed; the same seed gives the same result, but for `seconds`.

    One with a person who is poison is played without them as well, and some are played again.
    """
    plan = draw(seed, on=on, older=older)
    result, stage = played(plan)
    found: list[str] = []
    if plan.poison is not None:
        found += twice.others_got_the_same(stage, played(plan.without(plan.poison.email))[1])
    if seed % PLAYED_AGAIN == PLAYED_AGAIN - 1:
        found += twice.it_is_the_same(
            result.digest, played(draw(seed, on=on, older=older))[0].digest
        )
    return replace(result, violations=(*result.violations, *found))


def played(plan: Plan) -> tuple[Result, Play]:
    """A campaign and its end; the stage is given as well, its database is gone."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="campaign-", dir=SHM if SHM.is_dir() else None))
    try:
        stage = Play(plan, folder)
        try:
            stage.play_out()
            violations = [*stage.violations]
            try:
                violations += invariants.at_the_end(stage)
            except Exception as error:
                # Events that are kept twice break the judge as well, after it has said so.
                if not violations:
                    raise
                violations.append(f"the judge broke down over it: {error}")
            digest = stage.digest()
            if plan.closing:
                stage.violations.clear()
                stage.end_for_good()
                violations += [*stage.violations, *erasures.nobody_is_left(stage)]
        finally:
            stage.service.close()
        happened = stage.hazards.happened + stage.zoom.faults.happened
        return Result(
            plan.seed,
            tuple(violations),
            happened,
            len(stage.memory.relay.accepted),
            digest,
            time.monotonic() - began,
        ), stage
    finally:
        shutil.rmtree(folder)


TOLD = (
    "the clock is wrong",
    "the disk is nearly full",
    "Zoom does not answer",
    "a meeting is missing",
    "the file has a mistake",
    "a crowd is gone",
    "challenges stopped",
    "letters in_doubt",
    "letters failed",
    "letters queued",
)
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
    "address corrected",
    "secret rotated",
    "hour changed",
    "suspended, the monotonic clock runs on",
    "suspended, the monotonic clock stands still",
    *("started several times in a row", "booted once more for nothing"),
    *("ended by close", "ended by purge"),
    *(f"database {how}" for how in ("overwritten", "truncated", "emptied", "deleted")),
    "a damaged database refused",
    *("mail 5xx once", "mail login refused", "refused letter tried again"),
    "as many as the relay takes",
    "disk nearly full",
    "file with mistakes",
    "many left, and staff agreed",
    "challenges stopped",
    *(f"poison {how}" for how in ("refused", "put off", "unmade", "unreadable")),
    *(f"told: {what}" for what in TOLD),
)
