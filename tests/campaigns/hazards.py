"""Everything that goes wrong in a campaign, as the plan of a seed says; what really happened."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from tests.campaigns.draw import CrashPlan, Plan, Window


class Crash(BaseException):
    """The process dies here."""


class Hazards:
    """Everything that goes wrong, as the plan of a seed says; counts what really happened."""

    def __init__(self, plan: Plan, now: Callable[[], datetime]) -> None:
        self.now = now
        self.rng = random.Random(f"hazards {plan.seed}")  # noqa: S311 — it must repeat
        self.rates = plan.rates
        self.crashes: list[CrashPlan] = sorted(plan.crashes, key=lambda crash: crash.at)
        self.passed: Counter[str] = Counter()  # point → how often
        self.fails: tuple[str, int, BaseException] | None = None  # point, which time, with what
        self.fuse: int | None = None  # the process dies after so many more points
        self._passed: Counter[CrashPlan] = Counter()
        self.open: list[Window] = []
        self.happened: Counter[str] = Counter()
        self.down_for: timedelta = timedelta(seconds=5)
        self.crashed_at: list[datetime] = []

    def strikes(self, what: str) -> Window | None:
        """The open window of that kind which strikes this time."""
        for window in self.open:
            if window.what == what and (window.rate >= 1 or self.rng.random() < window.rate):
                self.happened[f"{what} {window.kind}".strip()] += 1
                return window
        return None

    def by_rate(self, name: str) -> bool:
        """Whether a fault that may strike at any time does now."""
        rate = self.rates.get(name, 0.0)
        if rate and self.rng.random() < rate:
            self.happened[name] += 1
            return True
        return False

    def point(self, name: str) -> None:
        """A named point of the code: the process may die here, or the one planned failure come."""
        self.passed[name] += 1
        if self.fails is not None and (name, self.passed[name]) == self.fails[:2]:
            self.happened[f"failed at {name}"] += 1
            self.crashed_at.append(self.now())
            raise self.fails[2]
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.fuse = None
                self.crashed_at.append(self.now())
                self.down_for = timedelta(seconds=5)
                raise Crash(name)
        for crash in list(self.crashes):
            if crash.at > self.now():
                return
            if crash.point == name:
                self._passed[crash] += 1
                if self._passed[crash] <= crash.skip:
                    continue
                self.crashes.remove(crash)
                self.happened[f"crash {name}"] += 1
                self.down_for = crash.down
                self.crashed_at.append(self.now())
                raise Crash(name)
