"""A database that is lost, cut, older or somebody else's is refused with a remedy, and left as it is."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import jobs
from jobs.clock import run_job
from resonance_zoom import daemon, restoring
from resonance_zoom.errors import DatabaseUnusable
from resonance_zoom.service import Service
from resonance_zoom.store import engine
from resonance_zoom.store.opening import open_file, open_store
from tests.faults.besieged import PROJECT
from tests.faults.conftest import ZoomCalls, stored
from tests.kept import run
from tests.mail_server import MailServer


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


def _of_a_newer_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
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
    "first page overwritten": lambda path: _overwritten(path, 0, 4096),
    "tables overwritten": lambda path: _overwritten(path, 8192, 4096 * 8),
    "letters in its place": _words,
    "another program's": _of_another_program,
    "a folder in its place": _folder,
    "a link to nowhere": _dangling,
    "no version in it": _half_the_schema,
    "a newer version's": _of_a_newer_version,
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


# ---- what a kill leaves, and somebody tidies up --------------------------------------------------


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _log_overwritten(path: Path) -> None:
    _log(path).write_bytes(b"\xa5" * _log(path).stat().st_size)


def _log_cut(path: Path) -> None:
    _log(path).write_bytes(_log(path).read_bytes()[:8192])


OLDER: dict[str, Callable[[Path], None]] = {
    "its log deleted": lambda path: _log(path).unlink(),
    "its log overwritten": _log_overwritten,
    "its log cut": _log_cut,
}


@pytest.fixture
def killed(service: Service, zoom_calls: ZoomCalls, tmp_path: Path) -> Path:
    """The database of a service that was killed; its newest commits are in SQLite's log alone."""
    assert [zoom_calls.register() for _ in range(10)] == [200] * 10
    run(service, "deliver_letters", "watch")
    left = tmp_path / "left"
    shutil.copytree(service.store.path.parent, left)
    path = left / service.store.path.name
    assert _log(path).stat().st_size > 8192
    return path


@pytest.mark.parametrize("how", OLDER)
def test_a_start_refuses_a_database_that_has_forgotten_what_left(how: str, killed: Path) -> None:
    """It would send again what it does not know to have sent."""
    OLDER[how](killed)
    store = open_store(f"sqlite:///{killed}")
    with pytest.raises(DatabaseUnusable, match="is older than the one that was here") as refused:
        store.prepare()
    store.close()
    assert f"resonance-zoom restore {killed}" in refused.value.remedy


def test_an_older_copy_is_refused_and_the_remedy_holds_what_may_have_left(
    service: Service, zoom_calls: ZoomCalls, tmp_path: Path
) -> None:
    assert [zoom_calls.register() for _ in range(10)] == [200] * 10
    older = tmp_path / "older.db"
    service.store.copy_to(older)
    run(service, "deliver_letters", "watch")
    service.store.close()
    shutil.copy(older, service.store.path)
    store = open_file(f"sqlite:///{service.store.path}")
    with pytest.raises(DatabaseUnusable, match="is older than the one that was here"):
        store.prepare()
    assert restoring.restore(store, store.path, service.now(), by="staff").held == 10
    store.prepare()
    with store.read() as connection:
        states = connection.exec_driver_sql("SELECT DISTINCT state FROM letters").fetchall()
    store.close()
    assert states == [("in_doubt",)]


def test_what_a_kill_leaves_is_started_as_it_is(killed: Path, zoom_calls: ZoomCalls) -> None:
    store = open_store(f"sqlite:///{killed}")
    store.prepare()
    store.close()
    assert stored(killed) == zoom_calls.acknowledged


# ---- another campaign's --------------------------------------------------------------------------


def test_another_campaigns_database_is_refused_and_both_ways_out_are_named(
    service: Service, zoom_calls: ZoomCalls
) -> None:
    """Its meetings would be called off, and its people written to in our name."""
    daemon.start_up(service)
    assert zoom_calls.register() == 200
    before = _lines_of(service)
    service.take(replace(service.campaign, slug="resonance-2022"))
    with pytest.raises(DatabaseUnusable, match="belongs to the campaign resonance-2021") as refused:
        daemon.start_up(service)
    assert 'put slug = "resonance-2021" back' in refused.value.remedy
    assert "DATABASE_URL" in refused.value.remedy
    assert _lines_of(service) == before


def test_before_any_meeting_was_made_the_slug_may_still_change(service: Service) -> None:
    daemon.start_up(service)
    service.take(replace(service.campaign, slug="resonance-2022"))
    daemon.start_up(service)


def _lines_of(service: Service) -> int:
    with service.store.read() as connection:
        count: int = connection.exec_driver_sql("SELECT count(*) FROM journal").scalar_one()
    return count


# ---- permissions ---------------------------------------------------------------------------------

# Root may read and write whatever the modes say; without these two powers it is as anybody.
AS_ANYBODY = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
for power in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, power, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "resonance_zoom", "run"])
"""


@pytest.mark.parametrize(
    ("file", "folder"), [(0o000, 0o700), (0o400, 0o700), (0o600, 0o000), (0o600, 0o500)]
)
def test_a_database_that_may_not_be_read_or_written_ends_run_with_a_remedy(
    file: int, folder: int, used: Path, environ: dict[str, str]
) -> None:
    before = used.read_bytes()
    used.chmod(file)
    used.parent.chmod(folder)
    ended = subprocess.run(  # noqa: S603 — our own words
        [sys.executable, "-c", AS_ANYBODY],
        env={"PYTHONPATH": str(PROJECT), **environ},
        cwd=used.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    used.parent.chmod(0o700)
    assert ended.returncode == 1
    *_, error, remedy = ended.stderr.splitlines()
    assert error.startswith(f"error: {used.parent}")
    assert "writable" in remedy
    assert used.read_bytes() == before


# ---- while the service runs ----------------------------------------------------------------------


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
