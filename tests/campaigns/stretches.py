"""Stretches of trouble of a campaign: each begins and ends, and is remembered for the judge."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from jobs import watch
from tests.campaigns.draw import Window
from tests.campaigns.people import UNTIL_COMPARED

if TYPE_CHECKING:
    from resonance_zoom.rehearsal.stage import Stage
else:
    Stage = object


class Stretches(Stage):  # type: ignore[misc]
    """What is open now stands in `hazards.open`, what is over in `bad`."""

    def _turn_windows(self, now: datetime) -> None:
        for window in [one for one in self._windows if one.begins <= now]:
            self._windows.remove(window)
            self.hazards.open.append(window)
            self._begin(window)
        for window in [one for one in self.hazards.open if one.ends <= now]:
            self.hazards.open.remove(window)
            self._end(window)
            self.bad.append((window.begins, window.ends, label(window)))
            self._failures.clear()
            self._again = dict.fromkeys(self._again, now)
            self._look_closely()
            self._compare_until = now + UNTIL_COMPARED

    def _begin(self, window: Window) -> None:
        if window.what == "zoom":
            self.zoom.faults.api("*", kind=window.kind, times=None, rate=window.rate)
        if window.what == "clock":
            self.skew = timedelta(seconds=int(window.kind))
            self.hazards.happened["clock jumped"] += 1
        if window.what == "disk":
            self.hazards.happened["disk nearly full"] += 1
            self._again["watch"] = self.clock()
        self.alarms.expect(window)

    def _end(self, window: Window) -> None:
        if window.what == "zoom":
            self.zoom.faults.api_faults.clear()
        if window.what == "clock":
            others = [one.kind for one in self.hazards.open if one.what == "clock"]
            self.skew = timedelta(seconds=int(others[-1]) if others else 0)
        if window.what == "disk":
            self._again["watch"] = self.clock()

    def free_bytes(self, _folder: Path) -> int:
        """What is free on the disk."""
        full = any(window.what == "disk" for window in self.hazards.open)
        return watch.DISK_FREE // 2 if full else watch.DISK_FREE * 4


def label(window: Window) -> str:
    """As the judge knows it: what a relay needs afterwards depends on what it did."""
    return f"mail {window.kind}" if window.what == "mail" else window.what
