"""Every way to the present schema ends in the same place, and a newer one is refused."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from resonance_zoom.errors import AlreadyRunning, DatabaseBusy, DatabaseUnusable
from resonance_zoom.store import engine, sqlite
from resonance_zoom.store.engine import Store
from resonance_zoom.store.migrations import known_revisions, upgrade
from resonance_zoom.store.opening import open_store
from resonance_zoom.store.tables import metadata

pytestmark = pytest.mark.of_a_file("opens files of its own; see tests/postgresql/test_store.py")


def store_at(path: Path) -> Store:
    return open_store(f"sqlite:///{path}")


def drift(store: Store) -> list[object]:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))


def test_the_code_names_the_newest_migration() -> None:
    assert known_revisions() == ["0001", "0002", "0003", "0004", "0005", "0006", "0007"]
    assert engine.HEAD == "0007"


def test_an_empty_database_becomes_what_the_tables_say(tmp_path: Path) -> None:
    store = store_at(tmp_path / "new" / "x.db")
    store.prepare()
    assert drift(store) == []
    assert (tmp_path / "new" / "x.db").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    store.close()


def test_the_previous_versions_database_is_migrated_with_a_copy_kept(tmp_path: Path) -> None:
    store = store_at(tmp_path / "x.db")
    upgrade(store.engine, "0001")
    with store.write() as connection:
        connection.execute(
            text(
                "INSERT INTO meetings (focus_group, reference, state, intended_at)"
                " VALUES ('a', 'r', 'open', '2021-01-01 00:00:00.000000')"
            )
        )
    with pytest.raises(DatabaseUnusable, match="older version"):
        store.require_current()
    store.prepare()
    assert drift(store) == []
    with store.read() as connection:
        assert connection.execute(text("SELECT reference FROM meetings")).scalar() == "r"
    copy = store_at(tmp_path / "x.db.before-0007")
    assert copy.revision() == "0001"
    copy.close()
    store.close()


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    store = store_at(tmp_path / "x.db")
    store.prepare()
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseUnusable, match="newer version"):
        store.prepare()
    with pytest.raises(DatabaseUnusable, match="newer version"):
        store.require_current()
    assert store.revision() == "9999"
    store.close()


def test_a_damaged_file_is_refused_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"this is no database, it is a letter to my aunt" * 100)
    before = path.read_bytes()
    store = store_at(path)
    with pytest.raises(DatabaseUnusable, match="damaged or no database"):
        store.prepare()
    assert path.read_bytes() == before
    store.close()


def test_only_one_daemon_holds_a_database(tmp_path: Path) -> None:
    first, second = store_at(tmp_path / "x.db"), store_at(tmp_path / "x.db")
    first.hold_alone()
    with pytest.raises(AlreadyRunning, match="another daemon"):
        second.hold_alone()
    first.close()
    second.hold_alone()
    second.close()


def test_a_database_held_by_another_process_is_busy_not_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_PRAGMAS", ("PRAGMA busy_timeout=50",))
    holder, store = store_at(tmp_path / "x.db"), store_at(tmp_path / "x.db")
    holder.prepare()
    with holder.write(), pytest.raises(DatabaseBusy), store.write():
        pass
    holder.close()
    store.close()
