"""A database that is locked is waited for or refused, and two daemons send nothing twice."""

import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
import requests

import jobs
from jobs.clock import run_job
from resonance_zoom.service import Service, open_service
from resonance_zoom.settings import Settings
from resonance_zoom.store import engine, sqlite
from resonance_zoom.web import health
from tests.conftest import Clock
from tests.faults.conftest import ZoomCalls, stored
from tests.mail_server import MailServer

# ---- held by another process ---------------------------------------------------------------------


def test_behind_a_locked_database_no_call_waits_for_all_the_others(
    service: Service, zoom_calls: ZoomCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty calls at once, each with a patience of a quarter of a second: none needs a second."""
    service.store.engine.dispose()
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 250)
    monkeypatch.setattr(sqlite, "_PRAGMAS", ("PRAGMA busy_timeout=250",))
    statuses: list[int] = []
    calls = [
        threading.Thread(target=lambda: statuses.append(zoom_calls.register())) for _ in "60" * 30
    ]
    with closing(sqlite3.connect(service.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        for call in calls:
            call.start()
        assert zoom_calls.challenge() == 200
        challenged = time.monotonic() - began
        for call in calls:
            call.join()
        seconds = time.monotonic() - began
        other.execute("ROLLBACK")
    assert statuses == [503] * 60
    assert challenged < 3  # Zoom's patience
    assert seconds < 60 * 0.25 / 2  # in a row it would be fifteen
    assert zoom_calls.register() == 200


HOLDS_IT = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
database.execute("ROLLBACK")
"""


def test_100_webhooks_outlast_a_lock_that_another_process_holds(
    service: Service, zoom_calls: ZoomCalls
) -> None:
    """A backup or a command that writes is never seen by Zoom, and pages are read meanwhile."""
    with subprocess.Popen(  # noqa: S603 — our own words
        [sys.executable, "-c", HOLDS_IT, str(service.store.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        answers = [zoom_calls.begin_to_register() for _ in range(100)]
        assert zoom_calls.challenge() == 200
        campaign_page = zoom_calls.url.replace("/webhooks/zoom", "/")
        assert requests.get(campaign_page, timeout=5).status_code == 200
        assert stored(service.store.path) == set()  # each of them waits
        other.communicate()  # it lets go
    assert [answer() for answer in answers] == [200] * 100
    assert len(zoom_calls.acknowledged) == 100
    assert stored(service.store.path) == zoom_calls.acknowledged


def test_every_connection_is_durable_and_minds_its_references(service: Service) -> None:
    """SQLite's defaults would lose acknowledged commits at a power cut."""
    wanted = {"synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000, "secure_delete": 1}
    with service.store.read(), service.store.write() as connection:  # two of them
        said = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted}
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    assert said == wanted


# ---- two daemons, by force -----------------------------------------------------------------------


def test_two_services_forced_upon_one_database_send_each_letter_once(
    service: Service,
    settings: Settings,
    zoom_calls: ZoomCalls,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    """Where a lock means nothing, as on some network disks, the claim still lets only one send."""
    assert [zoom_calls.register() for _ in range(20)] == [200] * 20
    other = open_service(settings, now=clock, monotonic=clock.seconds)
    senders = [
        threading.Thread(target=run_job, args=(one, jobs.job("deliver_letters")))
        for one in (service, other)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    other.close()
    addressed = sorted(one.recipients[0] for one in mail_server.kept)
    assert addressed == sorted(zoom_calls.acknowledged)


# ---- what /readyz watches ------------------------------------------------------------------------


def _ready(service: Service, monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    monkeypatch.setattr(health, "DISK_FREE", 0)
    return {name: bool(point["ok"]) for name, point in health.readiness(service).items()}


def test_ready_means_writable_swept_ticked_trusted_and_no_letter_overdue(
    service: Service, zoom_calls: ZoomCalls, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = {"database", "clock", "last_tick", "last_sweep", "oldest_due_letter", "disk"}
    for name in ("watch", "sync_registrants"):
        run_job(service, jobs.job(name))
    assert _ready(service, monkeypatch) == dict.fromkeys(points, True)
    assert zoom_calls.register() == 200
    clock.move(minutes=4, seconds=59)
    assert all(_ready(service, monkeypatch).values())
    unfit = []
    for minutes in (5, 15, 30):  # since the start, without anything being done
        clock.to(2021, 1, 11, 10, minutes)
        unfit.append({name for name, ok in _ready(service, monkeypatch).items() if not ok})
    assert unfit == [
        {"last_tick"},
        {"last_tick", "oldest_due_letter"},
        {"last_tick", "oldest_due_letter", "last_sweep"},
    ]
