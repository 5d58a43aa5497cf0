"""Power is cut, a disk fails: nothing is lost that somebody relied on. A sample of `make power`."""

import pytest

from resonance_zoom import folders
from resonance_zoom.store import sqlite
from tests.power import __main__ as command
from tests.power.cuts import Figures, play


@pytest.fixture
def everything_synced_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own default for WAL: it loses commits, and never the file."""
    pragmas = tuple(one.replace("=FULL", "=NORMAL") for one in sqlite._PRAGMAS)
    monkeypatch.setattr(sqlite, "_PRAGMAS", pragmas)


def test_what_was_acknowledged_or_noted_as_sent_outlasts_a_power_cut() -> None:
    """In a first campaign that begins with an empty folder, and one that goes on."""
    total = Figures()
    for number in (0, 1):
        total.add(play(1, number))
    assert total.found == []
    assert (total.cuts, total.looked_for["starts"]) == (200, 10)
    assert (
        total.looked_for["acknowledged"] > 1000
    )  # each was looked for after each cut that came later
    assert total.looked_for["sent"] > 200
    assert total.looked_for["accepted"] > 10
    assert total.never() == []


def test_a_service_that_syncs_less_is_found(everything_synced_less: None) -> None:
    figures = play(1, 1, cuts=60)
    assert figures.lost["acknowledged"] > 0
    assert figures.lost["sent"] > 0
    assert figures.lost["damaged"] == 0


def test_a_service_that_syncs_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a cut leaves half a checkpoint, and the file is none any more."""
    monkeypatch.setattr(sqlite, "_PRAGMAS", (*sqlite._PRAGMAS, "PRAGMA synchronous=OFF"))
    assert play(1, 1, cuts=60).lost["damaged"] > 0


def test_a_folder_that_is_not_synced_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a new folder the disk knows nothing, however well the files in it are synced."""
    monkeypatch.setattr(folders, "sync", lambda _path: None)
    assert play(1, 0, cuts=20).lost["acknowledged"] > 0


def test_a_cut_comes_again_by_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = []
    for _ in range(2):
        assert command.main("--cut", "123") == 0
        numbers.append(capsys.readouterr().out)
    assert numbers[0] == numbers[1]
    assert numbers[0].startswith("cut 123 at step ")


def test_a_loss_ends_the_command_with_1_and_names_its_cut(
    everything_synced_less: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main("--cuts", "20", "--seed", "3", "--processes", "1") == 1
    told = capsys.readouterr().out
    assert "LOST cut " in told
    assert "lost of acknowledged webhooks: " in told
