"""The process of a campaign: it dies, boots, sleeps with its machine, and meets its double."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from resonance_zoom import daemon
from resonance_zoom.errors import AlreadyRunning, DatabaseUnusable, ResonanceError
from resonance_zoom.rehearsal.script import Act
from resonance_zoom.service import open_service
from tests.campaigns import boots
from tests.campaigns.hazards import Crash
from tests.campaigns.people import UNTIL_COMPARED

if TYPE_CHECKING:
    from resonance_zoom.rehearsal.stage import Stage
else:
    Stage = object

BOOT_AGAIN = timedelta(seconds=10)
LATE_BOOTS = timedelta(minutes=2)  # after some, one that cannot succeed is played more rarely


class Process(Stage):  # type: ignore[misc]
    """What happens to it, and how it comes back."""

    def _dies(self) -> None:
        """In a handler or a job: nothing more is done, the rest of this moment is lost."""
        self._dead = True
        self.memory.disconnect()

    def _fall(self) -> None:
        self._dead = False
        self.service.close()
        under_way = self.memory.fresh("SELECT message_id FROM letters WHERE state = 'sending'")
        self.memory.relay.forgets_whether({message_id for (message_id,) in under_way})
        self.down_from = self._down_since = self.clock()
        self._woken.clear()
        self._coming_up = self.clock() + self.hazards.down_for
        self._look_closely()

    def _goes_down(self, act: Act) -> None:
        if self._asleep_until is not None:
            self._later.append(replace(act, at=self._asleep_until + timedelta(seconds=5)))
        elif self.down_from is None:
            super()._goes_down(act)
            self._down_since = self.clock()
            self._woken.clear()

    def _comes_up(self, act: Act) -> None:
        if self._asleep_until is None and self.down_from is not None:
            super()._comes_up(act)

    def _is_suspended(self, act: Act) -> None:
        """The machine sleeps for so many minutes; the process neither hears nor does anything."""
        if self.down_from is not None:
            return
        self.memory.disconnect()
        self.down_from = self._down_since = self.clock()
        self._woken.clear()
        self._asleep_until = self.clock() + timedelta(minutes=int(act.email))
        self._stood_still = act.first_name == "stands still"
        self.hazards.happened[f"suspended, the monotonic clock {act.first_name}"] += 1

    def _wakes_up(self) -> None:
        since, self.down_from, self._asleep_until = self.down_from, None, None
        self._down_since = None
        assert since is not None
        if self._stood_still:
            self.lag += self.clock() - since
        self.bad.append((since, self.clock(), "down"))
        self.memory.connect(self.service)
        # A scheduler that has slept does what it has missed, once.
        self._woken[:] = [job.name for job in self._jobs]
        self._look_closely()
        self._compare_until = self.clock() + UNTIL_COMPARED

    def _come_up(self) -> None:
        """Boot; who dies in it tries again soon."""
        self._turn_windows(self.clock())
        self.boots += 1
        since, self._down_since = self._down_since or self.clock(), None
        try:
            boots.before(self, in_a_row=self._boots_in_a_row)
            self._boot()
        except (Crash, ResonanceError) as error:
            self._died_while_booting(error, since)
            return
        self.hazards.fuse = None
        self._boots_in_a_row = 0
        if self.damaged:
            self.violations.append(f"I22 {self.clock()}: it started with a damaged database")
            self.damaged = False
        if since < self.clock():
            self.bad.append((since, self.clock(), "down"))
        self._second_daemon_starts()
        boots.after(self)

    def _boot(self) -> None:
        """The lock, the database, every job once."""
        super()._come_up()

    def _died_while_booting(self, error: BaseException, since: datetime) -> None:
        self._dead = False
        self.memory.disconnect()
        self.service.close()
        self._woken.clear()
        self.down_from = self._down_since = since
        self._boots_in_a_row += 1
        if isinstance(error, DatabaseUnusable) and self.damaged:
            self.hazards.happened["a damaged database refused"] += 1
            self._coming_up = None  # whoever is called to it restores a backup first
            return
        pause = LATE_BOOTS if self._boots_in_a_row > 5 else BOOT_AGAIN
        self._coming_up = self.clock() + max(self.hazards.down_for, pause)
        self.hazards.happened["died while booting"] += 1

    def _second_daemon_starts(self) -> None:
        """Somebody starts the daemon a second time: it must go away again."""
        if not self.hazards.by_rate("second daemon"):
            return
        second = open_service(self.memory.settings, now=self.service_time, monotonic=self.steady)
        try:
            daemon.start_up(second)
        except AlreadyRunning:
            return
        finally:
            second.close()
        self.violations.append(f"I23 {self.clock()}: a second daemon ran beside the first")
