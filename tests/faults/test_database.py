"""A database that is locked, lost, cut or somebody else's is noticed, and never begun anew."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import requests

import jobs
from jobs.clock import run_job
from resonance_zoom.errors import DatabaseUnusable
from resonance_zoom.service import Service, open_service
from resonance_zoom.settings import Settings
from resonance_zoom.store import engine, sqlite
from resonance_zoom.store.opening import open_store
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


# ---- lost, cut, or another one -------------------------------------------------------------------


def _deleted(path: Path) -> None:
    path.unlink()


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _without_tables(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("VACUUM")


def _cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def _overwritten(path: Path, start: int, size: int) -> None:
    found = path.read_bytes()
    path.write_bytes(found[:start] + b"\xa5" * size + found[start + size :])


def _of_another_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _words(path: Path) -> None:
    path.write_bytes(b"Dear aunt, the weather is fine.\n" * 500)


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("elsewhere.db"))


def _half_the_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM alembic_version")
        connection.commit()


MUTILATIONS: dict[str, Callable[[Path], None]] = {
    "deleted": _deleted,
    "emptied": _emptied,
    "a database without tables": _without_tables,
    "cut to its header": lambda path: _cut(path, 100),
    "cut to a page": lambda path: _cut(path, 4096),
    "cut in half": lambda path: _cut(path, path.stat().st_size // 2),
    "cut by a page": lambda path: _cut(path, path.stat().st_size - 4096),
    "header overwritten": lambda path: _overwritten(path, 0, 100),
    "tables overwritten": lambda path: _overwritten(path, 8192, 4096 * 8),
    "letters in its place": _words,
    "another program's": _of_another_program,
    "a folder in its place": _folder,
    "a link to nowhere": _dangling,
    "no version in it": _half_the_schema,
}


@pytest.fixture
def used(service: Service, zoom_calls: ZoomCalls, environ: dict[str, str]) -> Path:
    """The database of a stopped service that has registrants; all of it in one file."""
    for _ in range(30):
        assert zoom_calls.register() == 200
    service.store.close()
    path: Path = service.store.path
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert not path.with_name(f"{path.name}-wal").exists()
    return path


@pytest.mark.parametrize("how", MUTILATIONS)
def test_a_start_refuses_what_is_no_longer_its_database(how: str, used: Path) -> None:
    """A new, empty one would write to everyone again; what is there is left as it is."""
    MUTILATIONS[how](used)
    before = used.read_bytes() if used.is_file() else None
    store = open_store(f"sqlite:///{used}")
    with pytest.raises(DatabaseUnusable) as refused:
        store.prepare()
    store.close()
    assert refused.value.remedy
    assert (used.read_bytes() if used.is_file() else None) == before
    assert not used.with_name("elsewhere.db").exists()


def test_another_programs_database_is_refused_on_the_first_start_too(tmp_path: Path) -> None:
    path = tmp_path / "resonance.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    store = open_store(f"sqlite:///{path}")
    with pytest.raises(DatabaseUnusable, match="the database of another program"):
        store.prepare()
    store.close()
    assert path.read_bytes() == before


def test_who_wants_to_begin_anew_is_told_how(used: Path) -> None:
    used.unlink()
    with pytest.raises(DatabaseUnusable) as refused:
        open_store(f"sqlite:///{used}").prepare()
    made = used.with_name("resonance.db.made")
    assert "Put aside what is there and restore the newest backup." in refused.value.remedy
    assert f"delete {made} first" in refused.value.remedy
    made.unlink()
    store = open_store(f"sqlite:///{used}")
    store.prepare()
    assert store.revision() == engine.HEAD
    store.close()


def test_a_new_connection_brings_no_empty_database_back(
    service: Service, zoom_calls: ZoomCalls
) -> None:
    assert zoom_calls.register() == 200
    service.store.engine.dispose()
    service.store.path.unlink()
    assert zoom_calls.register() == 503
    assert not service.store.path.exists()


@pytest.mark.parametrize("how", ["deleted", "emptied", "replaced"])
def test_nothing_is_acknowledged_or_sent_once_the_file_is_another_one(
    how: str, service: Service, zoom_calls: ZoomCalls, mail_server: MailServer, tmp_path: Path
) -> None:
    """SQLite would go on writing to the deleted file, which is gone with the process."""
    path = service.store.path
    assert zoom_calls.register() == 200
    old = path.read_bytes()
    if how == "replaced":
        other = tmp_path / "other.db"
        other.write_bytes(old)
        other.rename(path)
    else:
        MUTILATIONS[how](path)
    assert [zoom_calls.register() for _ in range(3)] == [503] * 3
    assert zoom_calls.challenge() == 200
    for name in ("deliver_letters", "watch"):
        assert str(run_job(service, jobs.job(name))).startswith("DatabaseUnusable")
    assert mail_server.kept == []
    with pytest.raises(DatabaseUnusable, match="while the service ran"):
        service.store.look_after()  # what the daemon asks every second
    assert path.exists() == (how != "deleted")


def test_a_damaged_page_found_while_running_is_the_end_of_all_writing(
    service: Service, zoom_calls: ZoomCalls
) -> None:
    assert zoom_calls.register() == 200
    service.store.engine.dispose()
    with closing(sqlite3.connect(service.store.path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _overwritten(service.store.path, 4096, service.store.path.stat().st_size - 4096)
    assert zoom_calls.register() == 503
    assert "damaged" in str(service.store.lost)
    assert zoom_calls.register() == 503


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
