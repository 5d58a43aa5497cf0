"""Holds all letters while the wall clock cannot be trusted: a letter sent early cannot be recalled.

Two signs: the clock stands before what was already committed, or it jumped against the monotonic
clock. A hold ends when the clock is right again, or when Zoom's own `Date` agrees with it: that of
an answer which came after the hold began, because an older one says nothing of a jump since.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection

from resonance_zoom.store import journal
from resonance_zoom.store.engine import Store

TOLERANCE = timedelta(seconds=120)


def time_since_boot() -> float:
    """Seconds that only run forward and, where the system can tell, go on while it sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Witness(Protocol):
    """Zoom's clock: its `Date` minus our time, as of its last answer; None when unknown."""

    clock_skew: timedelta | None


class ClockGuard:
    """Says whether letters may leave now."""

    def __init__(
        self,
        *,
        store: Store,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        self.store = store
        self.now = now
        self.monotonic = monotonic or time_since_boot
        self._holding = False  # a hold that began in this process, which knows what jumped
        self._wall = now()
        self._steady = self.monotonic()

    def check(self, witness: Witness) -> str | None:
        """Why letters are held, None when they may leave. Keeps the hold in the database."""
        now = self.now()
        with self.store.write() as connection:
            held = journal.recall(connection, journal.HELD)
            doubt = self._doubt(connection, now)
            if held and not self._holding:
                doubt = doubt or held  # held before a restart, which forgets how far it jumped
            skew = witness.clock_skew if held else None
            if doubt and skew is not None and abs(skew) <= TOLERANCE:
                # Zoom's clock agrees with ours: whatever jumped, it is right now.
                doubt = None
                journal.remember(connection, journal.LAST_ALIVE, now)
            if doubt and not held:
                witness.clock_skew = None
                self._holding = True
                journal.remember(connection, journal.HELD, doubt)
                words = f"all letters are held: {doubt}; set the machine's clock (NTP)"
                journal.note(connection, now, "clock.held", words, level=journal.ERROR)
            if held and not doubt:
                journal.forget(connection, journal.HELD)
                words = "the clock can be trusted again; letters leave"
                journal.note(connection, now, "clock.released", words)
            if not doubt:
                self._holding = False
                self._wall, self._steady = now, self.monotonic()
                journal.alive(connection, now)
            return doubt

    def jumped(self) -> bool:
        """Whether the clock has jumped since the last `check`, which will say so. Reads no row."""
        return abs(self._jump(self.now())) > TOLERANCE

    def _jump(self, now: datetime) -> timedelta:
        return (now - self._wall) - timedelta(seconds=self.monotonic() - self._steady)

    def doubted_for(self) -> timedelta:
        """How long this process has not trusted the clock, by the one that only runs forward."""
        return timedelta(seconds=self.monotonic() - self._steady)

    def _doubt(self, connection: Connection, now: datetime) -> str | None:
        last = journal.last_alive(connection)
        if last is not None and now < last - TOLERANCE:
            return f"the clock says {now:%Y-%m-%d %H:%M} UTC, before what was done at {last:%H:%M}"
        jump = self._jump(now)
        if abs(jump) > TOLERANCE:
            return f"the clock jumped by {jump.total_seconds():.0f} seconds"
        return None
