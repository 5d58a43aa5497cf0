"""Holds all letters while the wall clock cannot be trusted: a letter sent early cannot be recalled.

Two signs: the clock stands before what was already committed, or it jumped against the monotonic
clock. A hold ends when the clock is right again, or when Zoom's own `Date` agrees with it.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection

from resonance_zoom.store import journal
from resonance_zoom.store.engine import Store

TOLERANCE = timedelta(seconds=120)


def time_since_boot() -> float:
    """Seconds that only run forward and, where the system can tell, go on while it sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class ClockGuard:
    """Says whether letters may leave now. `witness` is Zoom's clock minus ours, None if unknown."""

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
        self._wall = now()
        self._steady = self.monotonic()

    def check(self, witness: timedelta | None = None) -> str | None:
        """Why letters are held, None when they may leave. Keeps the hold in the database."""
        now = self.now()
        with self.store.write() as connection:
            doubt = self._doubt(connection, now)
            if doubt and witness is not None and abs(witness) <= TOLERANCE:
                # Zoom's clock agrees with ours: whatever jumped, it is right now.
                doubt = None
                journal.remember(connection, journal.LAST_ALIVE, now)
            held = journal.recall(connection, journal.HELD)
            if doubt and not held:
                journal.remember(connection, journal.HELD, doubt)
                words = f"all letters are held: {doubt}; set the machine's clock (NTP)"
                journal.note(connection, now, "clock.held", words, level=journal.ERROR)
            if held and not doubt:
                journal.forget(connection, journal.HELD)
                words = "the clock can be trusted again; letters leave"
                journal.note(connection, now, "clock.released", words)
            if not doubt:
                self._wall, self._steady = now, self.monotonic()
                journal.alive(connection, now)
            return doubt

    def _doubt(self, connection: Connection, now: datetime) -> str | None:
        last = journal.last_alive(connection)
        if last is not None and now < last - TOLERANCE:
            return f"the clock says {now:%Y-%m-%d %H:%M} UTC, before what was done at {last:%H:%M}"
        jump = (now - self._wall) - timedelta(seconds=self.monotonic() - self._steady)
        if abs(jump) > TOLERANCE:
            return f"the clock jumped by {jump.total_seconds():.0f} seconds"
        return None
