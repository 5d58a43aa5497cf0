"""Every commit, every call to Zoom and every letter of a small campaign fails once, in every way.

python -m tests.campaigns.kth        all of them
"""

import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from resonance_zoom.errors import (
    DatabaseBusy,
    DatabaseUnusable,
    MailDeferred,
    MailInDoubt,
    MailUnreachable,
    ZoomUnreachable,
)
from resonance_zoom.rehearsal.script import Act
from tests.campaigns import invariants
from tests.campaigns.draw import Plan
from tests.campaigns.hazards import Crash
from tests.campaigns.run import SHM
from tests.campaigns.stage import Play
from tests.campaigns.trouble import draw

WAYS: dict[str, tuple[BaseException, ...]] = {
    "commit before": (
        Crash("commit before"),
        DatabaseBusy("another process held the database"),
        DatabaseUnusable("database or disk is full"),
    ),
    "commit after": (
        Crash("commit after"),
        DatabaseUnusable("the answer to the commit was lost"),
    ),
    "zoom before": (Crash("zoom before"), ZoomUnreachable("no answer from Zoom (refused)")),
    "zoom after": (
        Crash("zoom after"),
        ZoomUnreachable("no answer from Zoom (cut)", maybe_done=True),
    ),
    "mail before": (
        Crash("mail before"),
        MailDeferred("the connection broke: reset"),
        MailUnreachable("the mail server hung up"),
    ),
    "mail after": (Crash("mail after"), MailInDoubt("the answer was lost: reset")),
    "webhook after": (Crash("webhook after"),),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """The `k`-th time that `point` is passed, the `way`-th of its WAYS strikes."""

    point: str
    k: int
    way: int


def small() -> Plan:
    """One group: somebody comes, leaves, comes back; somebody else stays; the date is moved."""
    plan = draw(0, on=frozenset())
    group = replace(plan.groups[0], slug="groupe-1")
    plan.on = frozenset({"kth"})  # alarms may be raised
    plan.groups, plan.acts, plan.approval, plan.page_size = [group], [], "automatic", 300
    plan.reminder_days = (7, 1)
    alice, bob = ("alice@example.org", "Alice", "Martin"), ("bob@example.org", "Bob", "")
    start = group.start
    plan.acts += [
        Act(plan.opens + timedelta(minutes=30), "registers", group.slug, *alice),
        Act(plan.opens + timedelta(hours=2), "registers", group.slug, *bob),
        Act(start - timedelta(days=5), "cancels", group.slug, bob[0]),
        Act(start - timedelta(days=4), "registers", group.slug, *bob),
        Act(start - timedelta(days=3), "is_moved_on_zoom", group.slug, "60"),
    ]
    return plan


def played(failure: Failure | None) -> tuple[Counter[str], list[str], Counter[str]]:
    """How often each point was passed, what was broken, what happened."""
    folder = Path(tempfile.mkdtemp(prefix="kth-", dir=SHM if SHM.is_dir() else None))
    try:
        stage = Play(small(), folder)
        if failure is not None:
            error = WAYS[failure.point][failure.way]
            stage.hazards.fails = (failure.point, failure.k, error)
            stage.hazards.down_for = timedelta(minutes=1)
        try:
            stage.play_out()
            for at in stage.hazards.crashed_at:  # a letter that was put back goes a minute later
                stage.bad.append((at, at + timedelta(minutes=1), "failure"))
            broken = [*stage.violations, *invariants.at_the_end(stage)]
        finally:
            stage.service.close()
        return stage.hazards.passed, broken, stage.hazards.happened
    finally:
        shutil.rmtree(folder)


def failures(passed: Counter[str]) -> Iterator[Failure]:
    """Every one."""
    for point, ways in WAYS.items():
        for k in range(1, passed[point] + 1):
            for way in range(len(ways)):
                yield Failure(point, k, way)


def judged(failure: Failure) -> tuple[Failure, list[str], int]:
    """What a failure broke, and whether it came about."""
    _, broken, happened = played(failure)
    return failure, broken, happened[f"failed at {failure.point}"]


def main() -> int:
    """All of them, on all processors; 1 when something broke."""
    began = time.monotonic()
    passed, broken, _ = played(None)
    assert broken == [], broken
    planned, worse, met = list(failures(passed)), 0, 0
    with multiprocessing.Pool() as pool:
        for failure, found, came in pool.imap(judged, planned, chunksize=8):
            met += came
            if found:
                worse += 1
                print(f"{failure}: {found[0]}", flush=True)
    for point in WAYS:
        print(f"{passed[point]:6} × {len(WAYS[point])}  {point}")
    print(f"{len(planned)} failures planned, {met} came about, {worse} broke an invariant,"
          f" {time.monotonic() - began:.0f} s")  # fmt: skip
    return 1 if worse or met < len(planned) else 0


if __name__ == "__main__":
    sys.exit(main())
