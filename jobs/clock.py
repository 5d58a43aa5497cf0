"""The heartbeat: runs the SCHEDULE. The only module that imports apscheduler.

APScheduler wakes fixed jobs up and remembers nothing; each run leaves a row. A job runs once at a
time; a wake that comes while it runs makes it go round once more, so that none is lost.
"""

import logging
import threading
import time
from collections.abc import Mapping
from concurrent import futures
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from jobs import SCHEDULE, Job, timetable
from resonance_zoom.errors import ResonanceError, unforeseen
from resonance_zoom.service import Service
from resonance_zoom.settings import Settings
from resonance_zoom.store import journal

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
BEAT = timedelta(seconds=5)
QUIET, DEAD = 15.0, 60.0  # seconds without a beat
STUCK = 300.0  # seconds in which no job has ended, though one is due every quarter of a minute
# Seconds from one run's beginning to the next of the same job: a run commits twice, and while a
# whole list registers it would be asked for again before it had ended.
BREATH = 0.1
log = structlog.get_logger("jobs")


def triggers(settings: Settings) -> Mapping[str, IntervalTrigger]:
    """The timetable as APScheduler's triggers, on the clock's own marks."""
    return {
        job.name: IntervalTrigger(
            seconds=int(job.period(webhooks=settings.webhooks).total_seconds()),
            start_date=EPOCH,
            timezone=UTC,
        )
        for job in timetable(settings)
    }


def next_firing(trigger: IntervalTrigger, now: datetime) -> datetime:
    """The next mark after `now`, as the heartbeat would fire it."""
    moment: datetime = trigger.get_next_fire_time(None, now + timedelta(microseconds=1))
    return moment


def run_job(service: Service, job: Job) -> str | None:
    """Run a job now and leave its row. Returns its error, None when it went well."""
    started_at, began = service.now(), time.monotonic()
    did, fault = "", None
    try:
        did = job.run(service)
    except ResonanceError as error:
        fault = f"{type(error).__name__}: {error.message}"
        log.warning("job failed", job=job.name, error=fault)
    except Exception as error:
        fault = unforeseen(error)
        log.exception("job broke", job=job.name)
    try:
        with service.store.write() as connection:
            journal.note_run(
                connection,
                job=job.name,
                started_at=started_at,
                seconds=round(time.monotonic() - began, 3),
                did=did,
                error=fault,
            )
    except ResonanceError as error:  # a full disk must not end the heartbeat
        log.warning("run not recorded", job=job.name, error=error.message)
    return fault


def _beats() -> IntervalTrigger:
    return IntervalTrigger(seconds=int(BEAT.total_seconds()), start_date=EPOCH, timezone=UTC)


class Heartbeat:
    """Runs the SCHEDULE in threads until stopped."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._turns = {job.name: _Turn(service, job) for job in SCHEDULE}
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(len(SCHEDULE) + 2)},
            # As a scheduler keyword these would be ignored; a grace of None never drops a run.
            job_defaults={"coalesce": True, "max_instances": 3, "misfire_grace_time": None},
        )
        self._wakes = futures.ThreadPoolExecutor(len(SCHEDULE), thread_name_prefix="woken")
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        for name, trigger in triggers(service.settings).items():
            self._scheduler.add_job(self._turns[name].take, trigger, id=name, name=name)
        self._scheduler.add_job(self._beat, _beats(), id="beat")
        self._beat()

    def _beat(self) -> None:
        self._beat_at, self._set_anew = time.monotonic(), False

    def look_after(self) -> None:
        """Raises ResonanceError when jobs are no longer run: a thread has died, or all hang.

        A wall clock that was set back leaves every job waiting for a time that it has shown before:
        then they are put on its marks anew.
        """
        now = time.monotonic()
        silence = now - self._beat_at
        if silence > QUIET and not self._set_anew:
            self._set_anew = True
            log.warning("no beat: jobs are put on the clock's marks anew", seconds=round(silence))
            for name, trigger in self._triggers().items():
                self._scheduler.reschedule_job(name, trigger=trigger)
        if silence > DEAD:
            raise ResonanceError("the heartbeat stopped", remedy="Start the daemon again.")
        ended_at = max(turn.ended_at for turn in self._turns.values())
        if now - ended_at > STUCK:
            raise ResonanceError(
                f"no job has ended for {round(now - ended_at)} seconds",
                remedy="Start the daemon again.",
            )

    def _triggers(self) -> dict[str, IntervalTrigger]:
        return {**triggers(self.service.settings), "beat": _beats()}

    def start(self) -> None:
        """Begin: every job once, in the order of the SCHEDULE, then each at its marks."""
        self.service.wake = self.wake
        self._scheduler.start()
        self._scheduler.add_job(self._run_all, name="start")

    def _run_all(self) -> None:
        for turn in self._turns.values():
            turn.take()

    def wake(self, name: str) -> None:
        """Run a job now, or once more if it is running. Comes with every registration."""
        turn = self._turns[name]
        if turn.wanted.is_set():
            return  # it is about to begin
        turn.wanted.set()
        with suppress(RuntimeError):  # stopped: nothing is begun any more
            self._wakes.submit(turn.take)

    def stop(self) -> None:
        """Let what runs finish, start nothing new."""
        self._scheduler.shutdown(wait=True)
        self._wakes.shutdown(wait=True)


class _Turn:
    """One job, one run at a time, no wake lost."""

    def __init__(self, service: Service, job: Job) -> None:
        self.service = service
        self.job = job
        self.wanted = threading.Event()
        self._running = threading.Lock()
        self.ended_at = time.monotonic()
        self._not_before = 0.0

    def take(self) -> None:
        self.wanted.set()
        # The loop looks again after the lock is free: a wake between the last look and the release
        # would otherwise be lost.
        while self.wanted.is_set() and not self.service.stopping():
            if not self._running.acquire(blocking=False):
                return
            try:
                time.sleep(max(0.0, self._not_before - time.monotonic()))
                self._not_before = time.monotonic() + BREATH
                self.wanted.clear()
                run_job(self.service, self.job)
                self.ended_at = time.monotonic()
            finally:
                self._running.release()
