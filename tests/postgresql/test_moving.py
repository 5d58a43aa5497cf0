"""A campaign that outgrows its file arrives whole in PostgreSQL, or not at all."""

import io
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, text

from jobs import job
from jobs.clock import run_job
from resonance_zoom.errors import DatabaseUnusable
from resonance_zoom.service import Service
from resonance_zoom.store import chain, journal, moving
from resonance_zoom.store.engine import Store
from resonance_zoom.store.opening import open_store
from resonance_zoom.store.tables import letters, meetings, registrants, runs
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Type
from tests.sql import type_into


@pytest.fixture
def there(prepared_url: str) -> Iterator[Store]:
    store = open_store(prepared_url)
    yield store
    store.close()


@pytest.fixture
def begun(service: Service, zoom: SimulatedZoom) -> Service:
    """A campaign under way: Élise is registered and has her letter, an act stands in the chain."""
    run_job(service, job("create_meetings"))
    zoom.register(min(zoom.meetings), email="elise@example.org", first_name="Élise ❤")
    run_job(service, job("sync_registrants"))
    run_job(service, job("deliver_letters"))
    with service.store.write() as connection:
        journal.note(connection, service.now(), "staff.pause", "sending paused (by alice)")
    return service


def test_everything_arrives_and_goes_on(
    begun: Service, types: Type, prepared_url: str, there: Store
) -> None:
    begun.store.close()
    code, out, err = types("migrate-to", prepared_url)
    assert code == 0
    assert "each as it was" in out
    assert "DATABASE_URL" in err
    with begun.store.read() as old, there.read() as new:
        assert moving.sums(old) == moving.sums(new)
        assert new.execute(select(registrants.c.first_name)).scalar() == "Élise ❤"
        assert [row.state for row in new.execute(select(letters))] == ["sent"]
        assert chain.examine(new).problems == ()
        # What was absent is absent, and no `null`.
        assert new.execute(text("SELECT count(*) FROM meetings WHERE edit IS NULL")).scalar() == 2
    with there.write() as connection:  # the next rows get numbers of their own
        journal.note(connection, begun.now(), "staff.resume", "sending resumed (by alice)")
        assert chain.examine(connection).problems == ()


def test_a_url_with_a_password_is_read_where_nobody_else_sees_it(
    begun: Service, types: Type, prepared_url: str, there: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words of a command are read by everybody on the machine."""
    begun.store.close()
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{prepared_url}\n"))
    code, out, err = types("migrate-to", "-")
    assert code == 0, err
    assert prepared_url not in f"{out}{err}"
    with there.read() as new:
        assert new.execute(select(registrants.c.first_name)).scalar() == "Élise ❤"


def test_it_comes_back_to_a_file_the_same(begun: Service, there: Store, tmp_path: Any) -> None:
    back = open_store(f"sqlite:///{tmp_path}/back/resonance.db")
    back.prepare()
    there_sums = moving.move(begun.store, there)
    assert moving.move(there, back) == there_sums
    assert there_sums["registrants"].rows == 1
    back.close()


def test_pages_of_rows_are_neither_cut_nor_doubled(
    service: Service, there: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "PAGE", 7)
    with service.store.write() as connection:
        for number in range(21):  # three full pages
            journal.remember(connection, f"key {number}", {"ü": [number, None, 1.5]})
        rows = [
            {"job": "watch", "started_at": service.now(), "seconds": 0.1, "did": str(number)}
            for number in range(20)
        ]
        connection.execute(insert(runs), rows)
    told: list[tuple[str, int]] = []
    arrived = moving.move(service.store, there, lambda table, rows: told.append((table, rows)))
    assert (arrived["meta"].rows, arrived["runs"].rows) == (22, 20)  # the head of the chain
    assert [rows for table, rows in told if table == "runs"] == [7, 14, 20]
    with there.read() as connection:
        assert journal.recall(connection, "key 20") == {"ü": [20, None, 1.5]}


def test_a_target_with_a_row_in_it_is_left_alone(begun: Service, there: Store) -> None:
    with there.write() as connection:
        journal.note(connection, begun.now(), "service.started", "started")
    with pytest.raises(DatabaseUnusable, match="not empty: there are rows in journal"):
        moving.move(begun.store, there)
    with there.read() as connection:
        assert connection.execute(select(func.count()).select_from(registrants)).scalar() == 0


def test_what_did_not_arrive_as_it_was_is_found_and_nothing_stays(
    begun: Service, there: Store
) -> None:
    """A trigger of somebody's, a character that was lost on the way."""
    type_into(
        there,
        "CREATE FUNCTION spoil() RETURNS trigger AS $$ BEGIN NEW.first_name := 'Elise'; RETURN NEW;"
        " END $$ LANGUAGE plpgsql; CREATE TRIGGER spoil BEFORE INSERT ON registrants"
        " FOR EACH ROW EXECUTE FUNCTION spoil()",
    )
    with pytest.raises(DatabaseUnusable, match="registrants: not every row arrived"):
        moving.move(begun.store, there)
    with there.read() as connection:
        assert connection.execute(select(func.count()).select_from(meetings)).scalar() == 0


def test_nothing_is_moved_while_a_daemon_runs(
    begun: Service, types: Type, prepared_url: str
) -> None:
    begun.store.hold_alone()
    code, _, err = types("migrate-to", prepared_url)
    assert code == 75
    assert "another daemon" in err


def test_what_was_changed_afterwards_shows_in_the_sums(begun: Service, there: Store) -> None:
    moving.move(begun.store, there)
    type_into(there, "UPDATE letters SET attempts = attempts + 1")

    def different(old: Connection, new: Connection) -> list[str]:
        sums = moving.sums(new)
        return [name for name, its in moving.sums(old).items() if its != sums[name]]

    with begun.store.read() as old, there.read() as new:
        assert different(old, new) == ["letters"]
