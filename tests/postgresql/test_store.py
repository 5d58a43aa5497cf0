"""PostgreSQL as the store of a campaign: one writer, plain errors, nothing half-done."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, select, text

from resonance_zoom.errors import (
    AlreadyRunning,
    ConfigurationError,
    DatabaseBusy,
    DatabaseLost,
    DatabaseUnusable,
)
from resonance_zoom.service import utc_now
from resonance_zoom.store import engine, journal
from resonance_zoom.store.engine import Store
from resonance_zoom.store.groups import GroupCommit
from resonance_zoom.store.migrations import upgrade_on
from resonance_zoom.store.opening import open_store
from resonance_zoom.store.tables import journal as lines
from resonance_zoom.store.tables import metadata
from tests.sql import type_into

if TYPE_CHECKING:
    from tests.database import Server

# Of this database only: other tests have theirs on the same server.
KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND datname = current_database() AND"
)


@pytest.fixture
def store(prepared_url: str) -> Iterator[Store]:
    made = open_store(prepared_url)
    yield made
    made.close()


@pytest.fixture
def other(prepared_url: str) -> Iterator[Store]:
    """The same database, from another process as it were."""
    made = open_store(prepared_url)
    yield made
    made.close()


def note(connection: Connection, words: str) -> None:
    journal.note(connection, utc_now(), "sweep.done", words)


def notes(store: Store) -> list[str]:
    with store.read() as connection:
        return list(connection.scalars(select(lines.c.message).order_by(lines.c.id)))


def pid(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def test_a_writer_sees_all_that_was_committed_while_it_waited(store: Store, other: Store) -> None:
    """Read, then write: what was read is still true."""

    def count_up(one: Store) -> None:
        for _ in range(25):
            with one.write() as connection:
                was = journal.recall(connection, "count") or 0
                journal.remember(connection, "count", was + 1)

    threads = [threading.Thread(target=count_up, args=(one,)) for one in (store, other) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as connection:
        assert journal.recall(connection, "count") == 100


def test_behind_a_writer_that_does_not_end_others_are_told_to_come_again(
    store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.write(), other.engine.connect() as connection:
        connection.execute(text("SET lock_timeout = 50"))
        connection.commit()
        connection.close()  # back to the pool, from where the next one takes it
        with pytest.raises(DatabaseBusy, match="held"), other.write():
            pass
    with other.write() as connection:
        note(connection, "afterwards")
    assert notes(store) == ["afterwards"]


def test_a_reader_has_one_view_and_cannot_write(store: Store, other: Store) -> None:
    with store.read() as connection:
        before = connection.execute(select(func.count()).select_from(lines)).scalar()
        with other.write() as writing:
            note(writing, "meanwhile")
        assert connection.execute(select(func.count()).select_from(lines)).scalar() == before
    with pytest.raises(DatabaseUnusable, match="read-only"), store.read() as connection:
        note(connection, "by mistake")
    assert notes(store) == ["meanwhile"]


def test_a_connection_that_is_cut_while_writing_stores_nothing_and_the_next_one_works(
    store: Store, other: Store
) -> None:
    def cut() -> None:
        with store.write() as connection:
            note(connection, "half")
            type_into(other, f"{KILL} pid = {pid(connection)}")
            note(connection, "the other half")

    with pytest.raises(DatabaseLost) as lost:
        cut()
    assert lost.value.exit_code == 75
    with store.write() as connection:
        note(connection, "whole")
    assert notes(store) == ["whole"]


def test_a_connection_that_is_cut_before_the_commit_counts_as_not_stored(
    store: Store, other: Store
) -> None:
    def cut() -> None:
        with store.write() as connection:
            note(connection, "never")
            type_into(other, f"{KILL} pid = {pid(connection)}")

    with pytest.raises(DatabaseLost):
        cut()
    assert notes(store) == []


def test_a_connection_that_is_cut_while_reading_is_plainly_told(store: Store, other: Store) -> None:
    def cut() -> None:
        with store.read() as connection:
            type_into(other, f"{KILL} pid = {pid(connection)}")
            connection.execute(select(lines))

    with pytest.raises(DatabaseLost):
        cut()
    assert notes(store) == []


def test_a_group_whose_connection_is_cut_is_stored_by_the_next_one(
    store: Store, other: Store
) -> None:
    """Zoom is answered 200 at once, and need not come again in five minutes."""
    cuts = iter([True, False])

    def keep(items: Sequence[str]) -> list[str]:
        with store.write() as connection:
            for item in items:
                note(connection, item)
            if next(cuts):
                type_into(other, f"{KILL} pid = {pid(connection)}")
        return [f"{item} is kept" for item in items]

    group = GroupCommit(keep, name="test")
    assert asyncio.run(group.commit("event")) == "event is kept"
    assert notes(store) == ["event"]


def test_connections_that_were_cut_while_nobody_used_them_are_never_noticed(
    store: Store, other: Store
) -> None:
    """A failover, a restart of the server at night."""
    assert notes(store) == []
    type_into(other, f"{KILL} application_name = 'resonance-zoom'")
    assert notes(store) == []
    with store.write() as connection:
        note(connection, "in the morning")
    assert notes(store) == ["in the morning"]


def test_a_server_that_is_away_is_try_again_later() -> None:
    store = open_store("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseLost, match="127.0.0.1/nothing"):
        store.exists()
    with pytest.raises(DatabaseLost), store.write():
        pass
    store.close()


def test_every_connection_is_durable_whatever_the_servers_default(store: Store) -> None:
    type_into(
        store, "ALTER DATABASE " + str(store.engine.url.database) + " SET synchronous_commit = off"
    )
    store.engine.dispose()
    with store.write() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
        assert connection.execute(text("SHOW transaction_isolation")).scalar() == "read committed"
    with store.read() as connection:
        assert connection.execute(text("SHOW transaction_isolation")).scalar() == "repeatable read"


def test_one_clock_at_a_time(store: Store, other: Store) -> None:
    store.hold_alone()
    store.hold_alone()  # once more is no trouble
    with pytest.raises(AlreadyRunning):
        other.hold_alone()
    store.look_after()
    locks = "SELECT pid FROM pg_locks WHERE locktype = 'advisory'"
    type_into(other, f"{KILL} pid IN ({locks})")
    with pytest.raises(Exception, match="the locks hang on is lost"):
        store.look_after()
    other.hold_alone()


def test_a_job_that_is_woken_elsewhere_is_heard_here_and_many_wakes_are_few(
    store: Store, other: Store
) -> None:
    heard: list[str | None] = []
    listens = threading.Event()

    def listen() -> None:
        for job in store.heard():
            listens.set()
            heard.append(job)
            if job == "watch":
                return

    ear = threading.Thread(target=listen)
    ear.start()
    assert listens.wait(10)
    for _ in range(100):
        other.wake("deliver_letters")
    other.close()  # what a command does last
    other.wake("watch")
    ear.join(10)
    assert not ear.is_alive()
    assert 1 <= heard.count("deliver_letters") < 100


def test_another_programs_database_is_left_alone(server: "Server", empty_url: str) -> None:
    store = open_store(empty_url)
    type_into(store, "CREATE TABLE recipes (name text)")
    with pytest.raises(DatabaseUnusable, match="of another program"):
        store.prepare()
    assert store.revision() is None
    store.close()


def test_a_database_that_sorts_like_a_dictionary_is_refused(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = open_store(empty_url)
    monkeypatch.setattr(store, "_bytewise", "SELECT false")
    with pytest.raises(DatabaseUnusable, match="dictionary") as refused:
        store.prepare()
    assert "LOCALE 'C'" in refused.value.remedy
    store.close()


def test_every_way_to_the_present_schema_ends_in_the_same_place(empty_url: str) -> None:
    """From the first schema, with a row in it, and from nothing."""
    store = open_store(empty_url)
    with store.engine.begin() as connection:
        upgrade_on(connection, "0001")
    type_into(
        store,
        "INSERT INTO meetings (focus_group, reference, state, intended_at)"
        " VALUES ('a', 'r', 'open', '2021-01-01 00:00:00+00')",
    )
    with pytest.raises(DatabaseUnusable, match="older version"):
        store.require_current()
    store.prepare()
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert list(compare_metadata(context, metadata)) == []
        assert connection.execute(text("SELECT reference FROM meetings")).scalar() == "r"
    store.close()


def test_a_newer_database_is_refused(store: Store) -> None:
    type_into(store, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseUnusable, match="newer version"):
        store.prepare()
    with pytest.raises(DatabaseUnusable, match="newer version"):
        store.require_current()


def test_a_dump_is_whole_and_without_pg_dump_the_sentence_is_plain(
    store: Store, server: "Server", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(server.programs))
    store.copy_to(tmp_path / "resonance.dump")
    assert (tmp_path / "resonance.dump").read_bytes()[:5] == b"PGDMP"
    assert (tmp_path / "resonance.dump").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Exception, match="the backups of this database are the server's own"):
        store.copy_to(tmp_path / "another.dump")
    assert [path.name for path in tmp_path.iterdir()] == ["resonance.dump"]


def test_what_was_deleted_is_freed(store: Store) -> None:
    with store.write() as connection:
        for number in range(50):
            note(connection, f"line {number}")
    type_into(store, "DELETE FROM journal")
    store.scrub()
    with store.read() as connection:
        tuples = text("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'journal'")
        assert connection.execute(tuples).scalar() == 0


def test_a_url_of_neither_kind_is_a_matter_of_configuration() -> None:
    with pytest.raises(ConfigurationError, match="postgresql\\+psycopg://"):
        open_store("mysql://host/name")


def test_the_newest_migration_is_the_one_that_stores_are_held_to(store: Store) -> None:
    assert store.revision() == engine.HEAD
