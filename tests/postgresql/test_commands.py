"""What commands and jobs do otherwise where the database is a server's."""

import sys
from pathlib import Path

import pytest
from sqlalchemy import select

import jobs
from resonance_zoom import holds
from resonance_zoom.errors import ConfigurationError, SettingsError
from resonance_zoom.service import Service
from resonance_zoom.settings import load_settings
from resonance_zoom.store.opening import open_store
from resonance_zoom.store.tables import letters
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Type


@pytest.fixture
def database_url(prepared_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return prepared_url


def test_after_the_server_restored_it_whatever_may_have_gone_waits_for_a_yes(
    service: Service, zoom: SimulatedZoom, types: Type
) -> None:
    jobs.job("create_meetings").run(service)
    zoom.register(min(zoom.meetings), email="alice@example.org", first_name="Alice")
    jobs.job("sync_registrants").run(service)
    code, _, err = types("restore", "old.dump", "--yes")
    assert code == 1
    assert "is restored by its server" in err
    code, out, err = types("restore", "--yes")
    assert (code, out) == (0, "the database is safe to start with\n")
    assert "erase again whoever was erased since" in err
    with service.store.read() as connection:
        (letter,) = connection.execute(select(letters))
        assert (letter.state, letter.reason) == ("in_doubt", holds.RESTORED)


def test_the_daily_backup_is_the_servers(service: Service) -> None:
    said = jobs.job("back_up_database").run(service)
    assert said == "the database server keeps its own backups"


def test_without_the_driver_the_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "resonance_zoom.store.postgresql", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match="driver of PostgreSQL") as refused:
        open_store("postgresql+psycopg://u@h/n")
    assert "resonance-zoom[postgres]" in refused.value.remedy


def test_a_url_that_names_no_database_is_refused(environ: dict[str, str], tmp_path: Path) -> None:
    environ["DATABASE_URL"] = "postgresql+psycopg://u:secret-1@host"
    with pytest.raises(SettingsError, match="HOST/NAME") as refused:
        load_settings(environ=environ, dotenv=tmp_path / "no.env")
    assert "secret-1" not in str(refused.value)


@pytest.mark.parametrize("half", ["web", "clock"])
def test_on_a_file_there_are_no_halves(
    half: str, types: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///var/resonance.db")
    code, _, err = types(half)
    assert code == 78
    assert "a file has one process" in err
    assert "resonance-zoom run" in err
