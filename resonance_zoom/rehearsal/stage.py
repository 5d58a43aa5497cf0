"""The stage of a rehearsal: a simulated Zoom, a mail server, the real service, one virtual clock.

Time jumps over the stretches in which no job could find anything to do: nobody acts, nothing is on
its way, no letter is ready or falls due.
"""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import event

from jobs import SCHEDULE, Job, timetable
from jobs.clock import next_firing, run_job, triggers
from resonance_zoom import daemon, meetings
from resonance_zoom.campaign import Campaign
from resonance_zoom.errors import ZoomRefused
from resonance_zoom.rehearsal.loopback import Loopback, Mail
from resonance_zoom.rehearsal.script import Act, Script
from resonance_zoom.service import Service, open_service
from resonance_zoom.settings import Settings
from resonance_zoom.store import journal, outbox
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom

WATCHED = timedelta(minutes=31)  # after something silent, Zoom is asked at every mark for so long
EDIT = timedelta(minutes=30)  # how far the meeting edited by hand moves


class VirtualClock:
    """A clock that only the stage moves."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def __call__(self) -> datetime:
        return self.time

    def seconds(self) -> float:
        """The same for the monotonic clock: a rehearsal has no jumps."""
        return self.time.timestamp()


class Edges(Protocol):
    """What the service meets at its edges: Zoom, the mail server, and who calls it."""

    settings: Settings

    @property
    def mails(self) -> Sequence[Mail]: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def connect(self, service: Service) -> None: ...
    def disconnect(self) -> None: ...


class Stage:
    """Plays a script. Then `zoom` is the truth, `edges.mails` what left, `service` what we know."""

    def __init__(
        self, campaign_file: Path, campaign: Campaign, script: Script, *, seed: int, out: Path
    ) -> None:
        self.script = script
        self.clock = VirtualClock(script.opens)
        self.zoom = SimulatedZoom(
            now=self.clock,
            seed=seed,
            host_email=campaign.zoom_host,
            webhook_secret="rehearsal-webhook-secret-0001",  # noqa: S106 — of the simulated Zoom
        )
        for old in out.glob("resonance.db*"):
            old.unlink()
        self.edges = self._edges(campaign_file, out)
        self.runs = 0  # of jobs, whatever called for them
        self.marks_played = 0
        self.down_from: datetime | None = None
        self.outages: list[tuple[datetime, datetime]] = []
        self.edited: dict[str, tuple[datetime, datetime]] = {}  # group → when, its new start
        self.refusals: list[tuple[Act, str]] = []
        self._woken: list[str] = []
        self._watch_until = script.opens
        self.service: Service

    def _edges(self, campaign_file: Path, out: Path) -> Edges:
        return Loopback(self.zoom, now=self.clock, out=out, campaign_file=campaign_file)

    def play(self, progress: Callable[[float], None]) -> None:
        """The whole campaign; `progress` hears the part of it that is over, 0 to 1."""
        self.edges.start()
        try:
            self._come_up()
            acts = list(reversed(self.script.acts))
            whole = self.script.ends - self.script.opens
            while (moment := self._next(acts)) <= self.script.ends:
                progress((moment - self.script.opens) / whole)
                self._step(moment, acts)
            self.clock.time = self.script.ends
            progress(1.0)
        finally:
            self.edges.stop()

    def _step(self, moment: datetime, acts: list[Act]) -> None:
        """All that happens at one moment: people act, Zoom notifies, the clock fires."""
        self.clock.time = moment
        while acts and acts[-1].at <= moment:
            self._act(acts.pop())
        self._deliver()
        self._tick(moment)

    # ---- time ----------------------------------------------------------------------------

    def _next(self, acts: list[Act]) -> datetime:
        """The next moment at which anything can happen."""
        now = self.clock()
        moments = [self.script.ends + timedelta(seconds=1)]
        if acts:
            moments.append(acts[-1].at)
        if (delivery := self.zoom.next_delivery_at()) is not None:
            moments.append(delivery)
        if self.down_from is None:
            moments += [self._mark(job, now) for job in self._jobs if self._has_work(job, now)]
            moments += [self._mark(_named("send_reminders"), at) for at in self._dues(now)]
            moments.append(self._mark(_named("sync_registrants"), _next_monday(now)))
            if (ready := self._letter_leaves_at()) is not None:
                moments.append(self._mark(_named("deliver_letters"), max(ready, now)))
        return max(now, min(moments))

    def _letter_leaves_at(self) -> datetime | None:
        """When the next letter may leave: when it is ready, and the relay is to be tried again."""
        with self.service.store.read() as connection:
            ready = outbox.next_ready_at(connection)
            relay = journal.recall(connection, journal.RELAY)
            stopped = journal.recall(connection, journal.PAUSED)
        if ready is None or stopped:
            return None
        return max(ready, datetime.fromisoformat(relay["again_at"])) if relay else ready

    def _has_work(self, job: Job, now: datetime) -> bool:
        """While something silent may be found, the jobs that ask Zoom run at their marks."""
        return now < self._watch_until and job.name in {"create_meetings", "sync_registrants"}

    def _dues(self, now: datetime) -> list[datetime]:
        with self.service.store.read() as connection:
            rows: list[Any] = list(meetings.open_rows(connection))
        return [
            due.at - timedelta(microseconds=1)  # the mark at the due moment itself
            for row in rows
            for due in self.service.campaign.reminders(row.start_at)
            if due.at > now
        ]

    def _mark(self, job: Job, now: datetime) -> datetime:
        return next_firing(self._triggers[job.name], now)

    def _tick(self, now: datetime) -> None:
        """Run what the timetable fires at this moment, and what was woken."""
        if self.down_from is not None:
            return
        for job in self._jobs:
            fires = next_firing(self._triggers[job.name], now - timedelta(seconds=1)) <= now
            self.marks_played += fires
            if job.name in self._woken or fires:
                self._run(job)
        while self._woken:
            self._run(_named(self._woken[0]))

    def marks_skipped(self) -> int:
        """How often the clock would have fired a job that provably could find nothing to do."""
        down = sum(((up - since) for since, up in self.outages), timedelta())
        up = self.script.ends - self.script.opens - down
        return sum(up // job.every for job in self._jobs) - self.marks_played

    def _run(self, job: Job) -> str | None:
        """Run a job; its error, None when it went well."""
        self._woken[:] = [name for name in self._woken if name != job.name]
        self.runs += 1
        return run_job(self.service, job)

    def _deliver(self) -> None:
        for delivery in self.zoom.deliver_due():
            if delivery.outcome == "lost":
                self._look_closely()

    def _look_closely(self) -> None:
        self._watch_until = self.clock() + WATCHED

    # ---- acts ----------------------------------------------------------------------------

    def _act(self, act: Act) -> None:
        try:
            getattr(self, f"_{act.what}")(act)
        except ZoomRefused as refusal:
            self.refusals.append((act, refusal.message))

    def _meeting(self, slug: str) -> SimMeeting:
        group = self.service.campaign.focus_group(slug)
        topic = group.title if group else ""
        return next(one for one in self.zoom.meetings.values() if one.topic == topic)

    def _registers(self, act: Act) -> None:
        self.zoom.register(
            self._meeting(act.group).id,
            email=act.email,
            first_name=act.first_name,
            last_name=act.last_name,
        )

    def _cancels(self, act: Act) -> None:
        self.zoom.cancel(self._meeting(act.group).id, email=act.email)

    def _loses_next_webhook(self, _act: Act) -> None:
        self.zoom.faults.lose_next_webhooks(1)
        self._watch_until = self.clock() + WATCHED

    def _is_edited_on_zoom(self, act: Act) -> None:
        meeting = self._meeting(act.group)
        self.zoom.edit_meeting(meeting.id, start_time=meeting.start_time + EDIT)
        self.edited[act.group] = (self.clock(), meeting.start_time)
        self._look_closely()

    def _goes_down(self, _act: Act) -> None:
        self.edges.disconnect()
        self.service.close()
        self.down_from = self.clock()

    def _comes_up(self, _act: Act) -> None:
        if self.down_from is not None:
            self.outages.append((self.down_from, self.clock()))
            self.down_from = None
        self._come_up()
        self._look_closely()

    def _open(self, settings: Settings) -> Service:
        service = open_service(
            settings, now=self.clock, monotonic=self.clock.seconds, sleep=lambda _seconds: None
        )
        event.listen(service.store.engine, "connect", _wait_for_no_disk)
        return service

    def _come_up(self) -> None:
        """What `run` does at start: the lock, the database, every job once."""
        settings = self.edges.settings
        self._jobs, self._triggers = timetable(settings), triggers(settings)
        self.service = self._open(settings)
        self.service.wake = self._woken.append
        daemon.start_up(self.service)
        self.edges.connect(self.service)
        for job in self._jobs:
            self._run(job)


def _wait_for_no_disk(connection: sqlite3.Connection, _record: object) -> None:
    """Nobody needs a rehearsal after a power cut, and its thousands of commits would each wait."""
    connection.execute("PRAGMA synchronous=OFF")


def _named(name: str) -> Job:
    return next(job for job in SCHEDULE if job.name == name)


def _next_monday(now: datetime) -> datetime:
    """Once a week the regular sweep is played even when nothing calls for it."""
    monday = now.replace(hour=4, minute=59, second=59, microsecond=0)
    monday += timedelta(days=-monday.weekday() % 7)
    return monday if monday > now else monday + timedelta(days=7)
