"""Backups: whole under load, one a day for a fortnight, for this user alone, and missed if absent."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import jobs
from jobs.clock import run_job
from resonance_zoom import backups, reports
from resonance_zoom.service import Service
from resonance_zoom.store.sqlite import SqliteStore
from resonance_zoom.store.tables import journal
from tests.conftest import Clock, Type
from tests.faults.backing_up import back_up
from tests.kept import rows, run


@pytest.fixture(autouse=True)
def terminal_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resonance_zoom.commands.keeping.utc_now", clock)


def inside(path: Path, question: str) -> list[object]:
    """One column of a query to a file as it is, without the code under test."""
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute(question)]


def test_a_backup_under_load_is_whole_and_holds_all_that_was_committed_before(
    tmp_path: Path,
) -> None:
    """Made by the service itself or by the command beside it. A sample of `make backups`."""
    figures = back_up(tmp_path, seed=1, times=20)
    assert figures.sound
    assert (figures.backups, figures.damaged, figures.commits_missing) == (20, 0, 0)
    assert figures.commits_looked_for > 500
    assert figures.written_meanwhile > 0


def test_a_backup_that_is_a_mere_copy_of_the_file_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lacks what stands in SQLite's log."""

    def mere_copy(store: SqliteStore, target: Path) -> None:
        shutil.copy(store.path, target)

    monkeypatch.setattr(SqliteStore, "copy_to", mere_copy)
    assert not back_up(tmp_path, seed=1, times=4).sound


def test_each_day_has_its_backup_and_the_fifteenth_replaces_the_first(
    service: Service, clock: Clock
) -> None:
    folder = service.settings.data_dir / "backups"
    for _ in range(16):
        run(service, "back_up_database", "back_up_database")
        clock.move(days=1)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 14
    assert (names[0], names[-1]) == ("resonance-2021-01-13.db", "resonance-2021-01-26.db")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert inside(folder / names[-1], "PRAGMA integrity_check") == ["ok"]


def test_a_copy_beside_the_database_lasts_no_longer_than_the_backups(
    service: Service, clock: Clock
) -> None:
    old = service.settings.data_dir / "resonance.db.before-0003"
    service.store.copy_to(old)
    for _ in range(14):
        assert old.exists()
        run(service, "back_up_database")
        clock.move(days=1)
    run(service, "back_up_database")
    assert not old.exists()


def test_a_backup_of_today_is_made_again_only_when_somebody_was_erased(
    service: Service, clock: Clock
) -> None:
    run(service, "back_up_database")
    (made,) = (service.settings.data_dir / "backups").iterdir()
    before = made.stat().st_mtime_ns
    run(service, "back_up_database")
    assert made.stat().st_mtime_ns == before
    with service.store.write() as connection:
        backups.journal.forget(connection, "backed_up")
    run(service, "purge_personal_data")
    assert service.wake.__self__ == ["back_up_database"]  # type: ignore[attr-defined]
    run(service, "back_up_database")
    assert made.stat().st_mtime_ns > before


def test_a_backup_that_fails_is_told_and_tried_again_within_the_hour(service: Service) -> None:
    folder = service.settings.data_dir / "backups"
    folder.write_text("a file where the folder should be")
    error = run_job(service, jobs.job("back_up_database"))
    assert error is not None
    assert "cannot be made" in error
    (line,) = [row for row in rows(service, journal) if row.kind == "backup.failed"]
    assert line.level == "error"
    with service.store.read() as connection:
        alerts = reports.status(connection, service.campaign, service.now())["alerts"]
    assert [alert.partition(":")[0] for alert in alerts] == ["back_up_database fails"]
    run(service, "purge_personal_data")
    assert service.wake.__self__ == ["back_up_database"]  # type: ignore[attr-defined]
    folder.unlink()
    run(service, "back_up_database")
    with service.store.read() as connection:
        assert reports.status(connection, service.campaign, service.now())["alerts"] == []


def test_a_backup_that_cannot_be_finished_leaves_the_earlier_one(
    service: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(service, "back_up_database")
    (made,) = (service.settings.data_dir / "backups").iterdir()
    whole = made.read_bytes()
    with service.store.write() as connection:
        backups.journal.forget(connection, "backed_up")

    def full(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert "No space left" in str(run_job(service, jobs.job("back_up_database")))
    assert made.read_bytes() == whole
    assert list(made.parent.iterdir()) == [made]  # half a copy holds people as well


def test_the_command_copies_to_a_file_of_ones_own_and_replaces_none(
    service: Service, types: Type, tmp_path: Path
) -> None:
    assert types("backup", "mine.db")[:2] == (0, "mine.db\n")
    assert (tmp_path / "mine.db").stat().st_mode & 0o777 == 0o600
    assert inside(tmp_path / "mine.db", "PRAGMA integrity_check") == ["ok"]
    code, _, err = types("backup", "mine.db")
    assert (code, "exists already" in err) == (1, True)
    code, out, _ = types("backup")
    assert (code, out.strip()) == (
        0,
        f"{service.settings.data_dir}/backups/resonance-2021-01-11.db",
    )
    assert [row.kind for row in rows(service, journal)] == ["staff.backup", "staff.backup"]
