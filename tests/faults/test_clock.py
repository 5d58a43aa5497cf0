"""Wrong clocks hold letters back, and a part of the daemon that dies takes the daemon with it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import jobs
from jobs import clock as heart
from jobs.clock import Heartbeat, run_job
from resonance_zoom import daemon
from resonance_zoom.clock_guard import ClockGuard
from resonance_zoom.service import Service
from resonance_zoom.store.tables import journal, letters, meta, registrants
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.conftest import Clock
from tests.faults.besieged import PROJECT, Daemon, wait_for
from tests.faults.conftest import ZoomCalls
from tests.mail_server import MailServer

ALICE = "alice@example.org"


def run(service: Service, *names: str) -> str | None:
    """Run jobs by name; the error of the last one."""
    fault = None
    for name in names:
        fault = run_job(service, jobs.job(name))
    return fault


# ---- the wall clock ------------------------------------------------------------------------------


@pytest.mark.parametrize("year", [1970, 2019])
def test_a_start_with_a_clock_of_long_ago_holds_all_letters_and_says_so(
    year: int,
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A machine without a battery begins in 1970; a stop in between changes nothing."""
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "watch", "sync_registrants")
    right = clock()
    monkeypatch.setattr(zoom, "_clock", lambda: right)
    clock.time = datetime(year, 1, 2, tzinfo=UTC)
    for _ in range(2):
        guard = ClockGuard(store=service.store, now=clock, monotonic=clock.seconds)
        monkeypatch.setattr(service, "guard", guard)
        daemon.start_up(service)
        run(service, "watch", "sync_registrants", "deliver_letters")
        daemon.shut_down(service)
    assert mail_server.kept == []
    with service.store.read() as connection:
        lines = connection.execute(select(journal.c.level).where(journal.c.kind == "clock.held"))
        assert [row.level for row in lines] == ["error"]
        alive = connection.execute(select(meta.c.value).where(meta.c.key == "last_alive")).scalar()
    assert str(alive).startswith("2021-")
    clock.time = right
    run(service, "sync_registrants", "deliver_letters")
    assert [one.kind for one in mail_server.to(ALICE)] == ["confirmation"]


@pytest.mark.parametrize("from_the_start", [False, True])
def test_by_a_clock_that_runs_years_ahead_nobody_is_erased(
    from_the_start: bool,
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was erased does not come back when the clock is right again."""
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "watch", "sync_registrants")
    right, steady = clock(), clock.seconds()
    monkeypatch.setattr(zoom, "_clock", lambda: right)
    monkeypatch.setattr(service.guard, "monotonic", lambda: steady)
    clock.time = datetime(2031, 1, 2, tzinfo=UTC)
    if from_the_start:
        guard = ClockGuard(store=service.store, now=clock, monotonic=lambda: steady)
        monkeypatch.setattr(service, "guard", guard)
        daemon.start_up(service)
    run(service, "create_meetings", "purge_personal_data")
    with service.store.read() as connection:
        assert list(connection.scalars(select(registrants.c.email))) == [ALICE]


def test_a_clock_that_jumps_while_zooms_lists_are_read_writes_no_reminder_off(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "watch", "sync_registrants")
    clock.to(2021, 2, 8, 8)  # the last reminder falls due
    run(service, "watch")
    steady = clock.seconds()
    monkeypatch.setattr(service.guard, "monotonic", lambda: steady)
    pages = service.zoom.registrant_pages

    def slowly(meeting_id: int, status: str) -> Iterator[Any]:
        clock.to(2021, 2, 9, 7, 30)
        return pages(meeting_id, status)

    with monkeypatch.context() as patched:
        patched.setattr(service.zoom, "registrant_pages", slowly)
        run(service, "send_reminders")
    clock.to(2021, 2, 8, 8, 1)
    run(service, "send_reminders")
    with service.store.read() as connection:
        owed = connection.execute(
            select(letters.c.kind, letters.c.state).where(letters.c.kind == "reminder-1")
        )
        assert [tuple(row) for row in owed] == [("reminder-1", "queued")]


@contextmanager
def beating(service: Service) -> Iterator[Heartbeat]:
    heartbeat = Heartbeat(service)
    heartbeat.start()
    try:
        yield heartbeat
    finally:
        heartbeat.stop()


def test_of_a_thousand_wakes_a_job_runs_twice_and_after_the_last(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole mailing list registers while letters leave: nobody waits for the next mark."""
    begun, may_end, runs_seen = threading.Event(), threading.Event(), list[int]()
    wakes = 0

    def deliver(_service: Service) -> str:
        runs_seen.append(wakes)
        begun.set()
        assert may_end.wait(10)
        return "done"

    name = "deliver_letters"
    schedule = [replace(one, run=deliver) if one.name == name else one for one in jobs.SCHEDULE]
    monkeypatch.setattr(heart, "SCHEDULE", tuple(schedule))
    with beating(service) as heartbeat:
        assert begun.wait(10)
        tasks: list[Any] = []
        real = heartbeat._wakes.submit

        def submit(task: Any) -> Any:
            tasks.append(task)
            return real(task)

        monkeypatch.setattr(heartbeat._wakes, "submit", submit)
        for wakes in range(1, 1001):  # noqa: B007 — `deliver` looks at it
            heartbeat.wake(name)
        may_end.set()
    assert (
        tasks.count(heartbeat._turns[name].take) == 1
    )  # it costs the web server's time with every registration
    assert runs_seen[:2] == [0, 1000]
    assert len(runs_seen) <= 3  # a mark of the clock may fall in between


def test_a_job_takes_breath_between_two_runs_and_none_before_the_first(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zoom's calls and the job share one processor; who registers alone waits for nothing."""
    now, slept, began = 1_000.0, list[float](), list[float]()

    class Time:
        @staticmethod
        def monotonic() -> float:
            return now

        @staticmethod
        def sleep(seconds: float) -> None:
            nonlocal now
            slept.append(round(seconds, 3))
            now += seconds

    def deliver(_service: Service) -> str:
        nonlocal now
        began.append(round(now - 1_000, 3))
        now += 0.03
        if len(began) == 1:
            turn.wanted.set()  # somebody registers meanwhile
        return "done"

    monkeypatch.setattr(heart, "time", Time)
    turn = heart._Turn(service, replace(jobs.job("deliver_letters"), run=deliver))
    turn.take()
    now += 5
    turn.take()
    assert began == [0.0, 0.1, 5.13]
    assert slept == [0.0, 0.07, 0.0]


def test_jobs_go_on_when_the_wall_clock_is_set_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """APScheduler would wait for the marks that it has planned, two hours from now."""

    class Wall(datetime):
        back = timedelta(0)

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) - cls.back

    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Wall)
    monkeypatch.setattr(heart, "BEAT", timedelta(seconds=1))
    monkeypatch.setattr(heart, "QUIET", 1.2)
    with beating(service) as heartbeat:
        Wall.back = timedelta(hours=2)
        soon = Wall.now(UTC) + timedelta(minutes=2)

        def planned_anew() -> bool:
            heartbeat.look_after()
            return bool(heartbeat._scheduler.get_job("watch").next_run_time < soon)

        wait_for(planned_anew)
        beat = heartbeat._beat_at
        wait_for(lambda: heartbeat._beat_at > beat)


# ---- parts that die ------------------------------------------------------------------------------

WEB_DIES = """
import asyncio, uvicorn
async def main_loop(self):
    await asyncio.sleep(0.3)
uvicorn.Server.main_loop = main_loop
"""
SCHEDULER_DIES = """
import jobs.clock
from apscheduler.schedulers.background import BackgroundScheduler
BackgroundScheduler._main_loop = lambda self: None
jobs.clock.DEAD = 0.5
"""
ALL_JOBS_HANG = """
import threading, jobs.clock
from resonance_zoom import daemon
jobs.clock.run_job = lambda *_: threading.Event().wait()
jobs.clock.STUCK = 0.5
daemon.FAREWELL_SECONDS = 0.5
"""
ITS_DISK_FAILS = """
import sqlite3
from resonance_zoom.web import server
class Failing(sqlite3.Connection):
    def commit(self):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error
connect, start = sqlite3.connect, server.WebServer.start
def starts(self):
    start(self)
    sqlite3.connect = lambda *a, **k: connect(*a, **k, factory=Failing)
server.WebServer.start = starts
from resonance_zoom.store import sqlite
fresh = sqlite.create_engine
def unpooled(*a, **k):
    from sqlalchemy.pool import NullPool
    return fresh(*a, **k, poolclass=NullPool)
sqlite.create_engine = unpooled
"""
RUN = """
import sys
from resonance_zoom import cli
sys.argv = ["resonance-zoom", "run"]
cli.main()
"""


def script(environ: dict[str, str], where: Path, words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 — our own words
        [sys.executable, "-c", words],
        capture_output=True,
        text=True,
        cwd=where,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **environ, "PORT": "0"},
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (WEB_DIES, "the web server ended unexpectedly"),
        (SCHEDULER_DIES, "the heartbeat stopped"),
        (ALL_JOBS_HANG, "no job has ended for"),
        (ITS_DISK_FAILS, "disk I/O error"),
    ],
)
def test_a_daemon_without_one_of_its_parts_ends_so_that_it_is_started_again(
    what: str, told: str, environ: dict[str, str], tmp_path: Path
) -> None:
    ended = script(environ, tmp_path, what + RUN)
    assert ended.returncode == 1, ended.stderr
    assert told in ended.stderr
    assert "the service ends itself" in ended.stderr


def test_a_daemon_whose_database_is_deleted_ends_and_does_not_start_with_an_empty_one(
    environ: dict[str, str], tmp_path: Path
) -> None:
    environ["PORT"] = "0"
    database = Path(environ["DATABASE_URL"].removeprefix("sqlite:///"))
    first = Daemon(environ, tmp_path)
    try:
        first.wait_until_ready()
        database.unlink()
        assert not first.dead()
    finally:
        first.kill()
    assert first.process.returncode == 1
    assert "was deleted while the service ran" in "".join(first.said)
    second = Daemon(environ, tmp_path)
    assert not second.dead()
    assert second.process.returncode == 1
    assert "is missing or empty" in second.said[-2]
    assert "restore the newest backup" in second.said[-1]
    assert not database.exists()


def test_webhooks_and_letters_leave_no_file_open(
    service: Service, zoom_calls: ZoomCalls, mail_server: MailServer
) -> None:
    def handled(people: int) -> int:
        assert [zoom_calls.register() for _ in range(people)] == [200] * people
        assert run(service, "deliver_letters", "sync_registrants", "watch") is None
        return len(list(Path("/dev/fd").iterdir()))

    handled(10)  # what is kept open is open by then
    assert handled(10) >= handled(100)
    assert len(mail_server.kept) == 120


# ---- time zones ----------------------------------------------------------------------------------

ASK = "from resonance_zoom.settings import load_settings; load_settings()"


def test_without_the_systems_time_zones_those_of_the_locked_package_are_used(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """As in a slim image; the package is locked with its hash."""
    told = script(environ | {"PYTHONTZPATH": ""}, tmp_path, RUN.replace('"run"', '"plan"'))
    assert told.returncode == 0, told.stderr
    lock = (PROJECT / "requirements.txt").read_text(encoding="utf-8")
    assert "\ntzdata==" in lock


def test_without_any_time_zones_no_command_goes_on(environ: dict[str, str], tmp_path: Path) -> None:
    without = 'import sys; sys.modules["tzdata"] = None; '
    told = script(environ | {"PYTHONTZPATH": ""}, tmp_path, without + ASK)
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1].endswith(
        "time zones: this machine has no data on them;"
        " install the system's package tzdata, or: pip install tzdata"
    )
