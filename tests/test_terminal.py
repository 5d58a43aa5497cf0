"""Whatever a person types, they read one clear line and what to do, never a traceback."""

import errno
import io
import os
import sys
from pathlib import Path

import pytest

from resonance_zoom import settings
from resonance_zoom.printing import colour, print_table
from resonance_zoom.service import Service
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Type


@pytest.fixture
def people(service: Service, zoom: SimulatedZoom) -> None:
    """A database with two people of one family name in it."""
    from jobs import create_meetings, sync_registrants

    service.store.prepare()
    create_meetings.run(service)
    meeting = next(iter(zoom.meetings.values()))
    for first in ("Alice", "Bruno"):
        zoom.register(
            meeting.id, email=f"{first}@example.org".lower(), first_name=first, last_name="Petit"
        )
    sync_registrants.run(service)


@pytest.mark.parametrize("since", ["nonsense", "", "d", "²d", "99999999999999d", "0001-01-01"])
def test_a_since_that_is_no_moment_is_wrong_usage(types: Type, people: None, since: str) -> None:
    code, _, said = types("log", "--since", since)
    assert code == 2
    assert f"{since!r} is neither a date such as" in said


@pytest.mark.parametrize("number", ["abc", "0", "99999999999999999999"])
def test_a_letter_number_that_cannot_be_is_wrong_usage(
    types: Type, people: None, number: str
) -> None:
    code, _, said = types("resend", number)
    assert code == 2
    assert "Invalid value for 'LETTER'" in said


def test_a_letter_that_is_not_there_ends_with_1(types: Type, people: None) -> None:
    assert types("resend", "999") == (
        1, "", "error: there is no letter 999\nSee them with: resonance-zoom letters\n",
    )  # fmt: skip


def test_who_fits_several_people_asks_which(types: Type, people: None) -> None:
    code, out, said = types("who", "petit")
    assert (code, out) == (1, "")
    assert said == (
        "error: several people fit petit\nWho of these? alice@example.org, bruno@example.org\n"
    )


@pytest.mark.parametrize("words", ["", " ", "%", "_"])
def test_who_without_a_name_names_nobody(types: Type, people: None, words: str) -> None:
    code, out, said = types("who", words)
    assert (code, out) == (1, "")
    assert "nobody is known as" in said
    assert "@" not in said


def test_who_finds_the_one_of_that_name(types: Type, people: None) -> None:
    code, out, _ = types("who", "alic")
    assert code == 0
    assert "alice@example.org" in out


@pytest.mark.parametrize("words", [("registrants",), ("letters",), ("letter", "confirmation")])
@pytest.mark.parametrize("was", [None, 0o644])
def test_what_a_command_writes_is_for_its_user_alone_from_the_first_byte(
    types: Type, people: None, words: tuple[str, ...], was: int | None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Whatever umask there is, and without a moment in which it stands open."""
    file = tmp_path / ("x.eml" if words[0] == "letter" else "x.csv")
    if was is not None:
        file.touch(mode=was)
        file.chmod(was)
    monkeypatch.setattr(Path, "chmod", lambda *_: pytest.fail("too late"))
    umask = os.umask(0)
    try:
        code, _, said = types(*words, "--output", str(file))
    finally:
        os.umask(umask)
    assert code == 0, said
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"example.org" in file.read_bytes()


@pytest.mark.parametrize("name", ["missing/list.csv", "missing/list.xlsx"])
def test_a_list_for_a_folder_that_is_not_there_is_two_lines(
    types: Type, people: None, name: str
) -> None:
    code, out, said = types("registrants", "--output", name)
    assert (code, out) == (1, "")
    assert said.splitlines() == [
        f"error: {name}: No such file or directory", "Name a file in a folder that you may write.",
    ]  # fmt: skip


def test_a_rehearsal_without_a_folder_to_write_is_two_lines(types: Type, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, said = types("rehearse", "--out", "file/out")
    assert code == 1
    assert said.splitlines() == [
        "error: file/out: Not a directory", "Name a folder that you may write, with --out.",
    ]  # fmt: skip


def test_a_full_disk_is_one_line(
    types: Type, people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("resonance_zoom.commands.reading.print_json", full)
    assert types("letters", "--json") == (1, "", "error: No space left on device\n")


@pytest.mark.parametrize("command", ["letters", "status", "log"])
def test_a_reader_who_left_early_is_no_error(
    types: Type, people: None, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`resonance-zoom log | head -1`."""

    def gone(_text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("os.dup2", lambda *_: None)
    monkeypatch.setattr(sys.stdout, "write", gone)
    code, _, said = types(command)
    assert (code, said) == (0, "")


def test_a_place_is_not_given_up_without_a_yes(
    types: Type, people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    code, _, said = types("cancel", "alice@example.org", "teletravail")
    assert code == 1
    assert "Nothing was done." in said


def test_ctrl_c_ends_with_130_and_no_words(
    types: Type, people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", stopped)
    code, _, said = types("log", "--follow")
    assert (code, said.strip()) == (130, "")


def test_the_brake_holds_with_a_broken_campaign_file(
    types: Type, people: None, campaign_file: Path
) -> None:
    campaign_file.write_text("nonsense", encoding="utf-8")
    assert types("status")[0] == 78
    assert types("pause")[0] == 0
    assert types("resume")[0] == 0


def test_an_env_file_that_cannot_be_read_is_named(
    types: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(settings, "dotenv_values", forbidden)
    code, _, said = types("status")
    assert code == 78
    assert ".env: cannot be read (Permission denied)" in said


def test_a_refused_token_says_which_values_to_correct(
    types: Type, people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOOM_CLIENT_SECRET", "wrong")
    code, _, said = types("plan")
    assert code == 78
    assert "ZOOM_CLIENT_SECRET" in said
    assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1


def test_in_a_narrow_window_a_table_becomes_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich: a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    rows: list[dict[str, str | None]] = [
        {"slug": "a-group", "sent_at": "x" * 30},
        {"slug": "another", "sent_at": None},
    ]
    monkeypatch.setenv("COLUMNS", "30")
    print_table(rows, ("slug", "sent_at"), empty="")
    assert capsys.readouterr().out.splitlines() == [
        "slug     a-group", f"sent at  {'x' * 30}", "", "slug     another", "sent at  ",
    ]  # fmt: skip
    monkeypatch.setenv("COLUMNS", "80")
    print_table(rows, ("slug", "sent_at"), empty="")
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_no_color_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert colour() is False
    monkeypatch.delenv("NO_COLOR")
    assert colour() is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u:first@canary@127.0.0.1:1/x",
        "postgresql+psycopg://u:first@canary:word@127.0.0.1:1/x",
        "postgresql+psycopg://u:word@127.0.0.1:canary/x",
    ],
)
def test_of_a_database_url_that_is_written_wrongly_no_part_is_told(
    types: Type, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """An @ in a password makes its end look like a host, or like a port."""
    monkeypatch.setenv("DATABASE_URL", url)
    code, out, said = types("status")
    assert (code, out) == (78, "")
    assert "canary" not in said
    assert "write @ as %40" in said
