"""`check` names what would stop a campaign, one line a point, and says what to do about it."""

import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import pytest
import requests
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import AuthResult
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from resonance_zoom import doctor
from resonance_zoom.doctor import at_zoom, examine, way_in
from resonance_zoom.doctor import machine as this_machine
from resonance_zoom.doctor.points import Patient, Point, red
from resonance_zoom.mail.letters import LetterRoom
from resonance_zoom.service import Service, letter_room, open_zoom, utc_now
from resonance_zoom.settings import Secret, Settings, load_settings
from resonance_zoom.store.opening import open_store
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.client import ZoomClient
from resonance_zoom.zoom.payloads import MeetingSummary
from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer
from tests.conftest import WEBHOOK_SECRET, Clock, free_port
from tests.mail.imap_peer import ImapPeer
from tests.mail_server import MailServer

REAL_ZOOM = "https://api.zoom.us/v2"
CLIENT_SECRET, SECRET_KEY = "csecret", "0123456789abcdef0123456789abcdef"
HOST = "organisation@example.org"
Look = Callable[..., Point]


# ---- the small world, but for what conftest has ----------------------------------------------


@pytest.fixture(scope="module")
def one_server() -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatedZoom(now=utc_now)) as server:
        yield server


@pytest.fixture
def zoom_server(one_server: SimulatorServer, zoom: SimulatedZoom) -> SimulatorServer:
    """One server for all: stopping it takes longer than these tests."""
    one_server.world = zoom
    return one_server


@pytest.fixture(autouse=True)
def letters(shipped_letters: LetterRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no templates of their own has the shipped ones, which are compiled once."""
    real = letter_room

    def room(asked: Settings) -> LetterRoom:
        own = (asked.campaign_file.parent / "letters").exists()
        return real(asked) if own else shipped_letters

    monkeypatch.setattr("resonance_zoom.doctor.machine.letter_room", room)


@pytest.fixture
def machine(campaign_file: Path, tmp_path: Path) -> Settings:
    """All but Zoom and mail, for the points that ask neither."""
    environ = {
        "CAMPAIGN_FILE": str(campaign_file),
        "DATABASE_URL": f"sqlite:///{tmp_path}/var/resonance.db",
        "ZOOM_WEBHOOK_SECRET_TOKEN": WEBHOOK_SECRET,
        "ZOOM_API_URL": "http://127.0.0.1:1/v2",  # a rehearsal: http:// addresses will do
        "SECRET_KEY": SECRET_KEY,
    }
    return load_settings(environ=environ, dotenv=tmp_path / "no.env")


@pytest.fixture
def look(clock: Clock, machine: Settings) -> Look:
    """What `check` says about one point of a machine."""
    return partial(_said, changed=machine, now=clock)


@pytest.fixture
def ask(clock: Clock, settings: Settings) -> Look:
    """What `check` says about one point when Zoom and the mail server are there."""
    return partial(_said, changed=settings, now=clock)


def _said(name: str, *, changed: Settings, now: Callable[[], datetime]) -> Point:
    """One point; those after it are not looked at."""
    points = examine(changed, now=now)
    try:
        return next(found for found in points if found.name == name)
    finally:
        points.close()  # type: ignore[attr-defined]


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """The address of an application on loopback."""
    server = WebServer(app, host="127.0.0.1", port=0)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()


@contextmanager
def guarded_relay() -> Iterator[str]:
    """The address of a mail server that lets nobody in without the password `pass-word-9`."""

    def lets_in(_server: Any, _session: Any, _envelope: Any, _kind: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == b"pass-word-9", handled=False)

    controller = Controller(
        Sink(),
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=lets_in,
        auth_require_tls=False,
    )
    controller.start()
    try:
        yield f"127.0.0.1:{controller.port}"
    finally:
        controller.stop()


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def patient(settings: Settings) -> Patient:
    """For a single check that speaks to nobody before its own question."""
    zoom = open_zoom(settings)
    return Patient(settings=settings, now=utc_now, zoom=zoom)


# ---- the whole report ------------------------------------------------------------------------


def test_a_machine_where_all_is_right_is_green_from_top_to_bottom(
    settings: Settings, service: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(this_machine, "SAFE_PYTHON", {})
    with served(make_app(service)) as address:
        found = list(examine(replace(settings, public_url=address), now=clock))
    assert [p.name for p in found] == [
        "campaign file", "dates ahead", "environment", "database", "staff acts", "disk", "Zoom token", "scopes",
        "host licensed", "host free", "clock", "webhook secret", "public address", "mail",
        "returned mail", "time zone data", "versions",
    ]  # fmt: skip
    assert [p for p in found if p.level != "green" or p.remedy] == []


def test_nothing_set_at_all_is_a_report_and_no_error(tmp_path: Path) -> None:
    """Every red point has a remedy; what hangs on another point says so in a few words."""
    bare = load_settings(
        environ={"CAMPAIGN_FILE": str(tmp_path / "none.toml")}, dotenv=tmp_path / "none"
    )
    found = {p.name: p for p in examine(bare)}
    assert {name for name, p in found.items() if p.level == "red"} == {
        "campaign file", "environment", "webhook secret", "public address",
    }  # fmt: skip
    assert all(p.remedy for p in found.values() if p.level == "red")
    assert {name: p.says for name, p in found.items() if p.says.startswith("not checked")} == {
        "dates ahead": "not checked: campaign file first",
        "Zoom token": "not checked: environment first",
        "scopes": "not checked: Zoom token first",
        "host licensed": "not checked: campaign file first",
        "host free": "not checked: campaign file first",
        "clock": "not checked: Zoom token first",
        "time zone data": "not checked: campaign file first",
    }


def test_points_come_one_by_one(
    settings: Settings, clock: Clock, zoom: SimulatedZoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal shows the first ones while Zoom has not even been asked; who has seen enough
    leaves no connection behind."""
    hung_up = []
    monkeypatch.setattr(ZoomClient, "close", lambda _client: hung_up.append(True))
    points = examine(settings, now=clock)
    assert [next(points).name for _ in range(6)][-1] == "disk"
    assert zoom.calls == []
    points.close()  # type: ignore[attr-defined]
    assert hung_up == [True]


def test_no_secret_and_no_address_is_ever_said(
    settings: Settings, clock: Clock, zoom: SimulatedZoom
) -> None:
    """Nor in the sentences about the host, the relay and the sender."""
    zoom.host_email = "somebody@else.example.net"
    with guarded_relay() as relay:
        careless = replace(
            settings,
            smtp_url=Secret(f"smtp://jean%40example.net:of-old-word@{relay}"),
            mail_from="lettres@example.net",
        )
        said = " ".join(p.says + p.remedy for p in examine(careless, now=clock))
    assert "zoom_host names nobody" in said
    for hidden in (CLIENT_SECRET, WEBHOOK_SECRET, SECRET_KEY, "of-old-word", HOST, "somebody@",
                   "contact@example.org", "lettres@", "jean@", "jean%40"):  # fmt: skip
        assert hidden not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("no user jean@mairie.test.", "no user (address)."),
        ("/users/jean%40mairie.test/x", "/users/(address)/x"),
        (f"bad {SECRET_KEY}!", "bad ***!"),
        ("no p%40ssword or p@ssword", "no *** or ***"),
        ("no m%40ilbox or m@ilbox", "no *** or ***"),
        ("write one such as contact@example.org", "write one such as contact@example.org"),
    ],
)
def test_what_a_server_says_is_made_discreet(
    machine: Settings, monkeypatch: pytest.MonkeyPatch, words: str, said: str
) -> None:
    chatty = (("chatty", lambda _patient: red(words, words)),)
    monkeypatch.setattr(doctor, "CHECKS", chatty)
    keeping = replace(
        machine,
        smtp_url=Secret("smtp://us:p%40ssword@127.0.0.1:25"),
        bounces_url=Secret("imaps://us:m%40ilbox@127.0.0.1"),
    )
    assert list(examine(keeping)) == [Point("chatty", "red", said, said)]


def test_a_check_that_fails_itself_does_not_hide_the_others(
    ask: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_folder: Path) -> None:
        raise ValueError("something private")

    monkeypatch.setattr(shutil, "disk_usage", broken)
    assert ask("disk").says == "the check itself failed (ValueError)"
    assert ask("Zoom token").level == "green"


# ---- campaign file, dates, environment -------------------------------------------------------


def test_every_problem_of_the_campaign_file_is_told_with_its_line(
    look: Look, campaign_file: Path
) -> None:
    rewrite(campaign_file, 'timezone = "Europe/Paris"', 'timezone = "Europe/Pari"')
    rewrite(campaign_file, "[organiser]", "[organiser]\nfax = 1")
    rewrite(campaign_file, "date = 2021-03-16", "dates = 2021-03-16")
    found = look("campaign file")
    assert found.level == "red"
    assert f"{campaign_file}:9: organiser.fax: " in found.says
    assert "focus_group[2].dates: " in found.says
    assert "; " in found.says
    assert "\n" not in found.says


def test_a_letter_that_cannot_be_written_is_told_with_the_campaign_file(
    look: Look, campaign_file: Path
) -> None:
    """The campaign itself is known then: the later points do not wait for the letter."""
    shipped = Path(doctor.__file__).parent.parent.parent / "config" / "letters"
    letters = campaign_file.parent / "letters"
    shutil.copytree(shipped, letters)
    (letters / "reminder-7.txt").write_text("Bonjour {{ no_such_field }}", encoding="utf-8")
    found = look("campaign file")
    assert found.level == "red"
    assert "reminder-7.txt" in found.says
    assert "no_such_field" in found.says
    assert "letters/" in found.remedy
    assert look("dates ahead").level == "green"


@pytest.mark.parametrize(
    ("now", "level", "says"),
    [
        (
            (2021, 2, 9, 7, 59),
            "green",
            "2 focus groups ahead; the next is teletravail on 2021-02-09 at 09:00 (Europe/Paris)",
        ),
        (
            (2021, 2, 9, 8, 0),
            "orange",
            (
                "1 of 2 focus groups is in the past;"
                " the next is espaces-exterieurs on 2021-03-16 at 09:00 (Europe/Paris)"
            ),
        ),
        (
            (2021, 3, 16, 8, 0),
            "red",
            "all focus groups are in the past: Zoom grants no meeting there",
        ),
    ],
)
def test_the_next_date_is_named_and_past_ones_are_counted(
    look: Look, clock: Clock, now: tuple[int, ...], level: str, says: str
) -> None:
    clock.to(*now)
    found = look("dates ahead")
    assert (found.level, found.says) == (level, says)


def test_missing_variables_are_named(ask: Look, settings: Settings) -> None:
    found = ask(
        "environment", changed=replace(settings, secret_key=Secret(""), zoom_webhook_secrets=())
    )
    assert found.level == "red"
    assert found.says == "missing: SECRET_KEY, ZOOM_WEBHOOK_SECRET_TOKEN"
    assert "openssl rand -hex 32" in found.remedy


def test_without_webhooks_no_webhook_secret_is_asked_for(ask: Look, settings: Settings) -> None:
    polling = replace(settings, webhooks=False, zoom_webhook_secrets=())
    assert ask("environment", changed=polling).says == "all that `run` needs is set"


# ---- database and disk -----------------------------------------------------------------------


@pytest.fixture
def database(settings: Settings) -> Path:
    """A database as the daemon left it."""
    store = open_store(settings.database_url)
    store.prepare()
    store.close()
    return store.path


def test_a_database_that_is_not_there_yet_will_be_created(look: Look, machine: Settings) -> None:
    found = look("database")
    assert found.level == "green"
    assert found.says == f"{machine.data_dir}/resonance.db will be created"
    assert not machine.data_dir.exists()  # to look is not to make


def test_a_database_of_this_version_is_fine(look: Look, database: Path) -> None:
    found = look("database")
    assert found.level == "green"
    assert found.says.startswith(f"{database}, schema 0")


def test_a_database_can_be_looked_at_while_the_daemon_writes(ask: Look, service: Service) -> None:
    with service.store.write():
        assert ask("database").level == "green"


def test_an_empty_file_will_be_filled(look: Look, machine: Settings) -> None:
    machine.data_dir.mkdir()
    (machine.data_dir / "resonance.db").touch()
    found = look("database")
    assert found.level == "green"
    assert found.says.endswith("is empty and will be filled")


@pytest.mark.parametrize(
    ("schema", "level", "says"),
    [
        ("0001", "orange", "was written by an older version (schema 0001"),
        ("9999", "red", "was written by a newer version of resonance-zoom (schema 9999)"),
    ],
)
def test_a_database_of_another_version_says_which(
    look: Look, database: Path, schema: str, level: str, says: str
) -> None:
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (schema,))
    connection.close()
    found = look("database")
    assert found.level == level
    assert says in found.says
    assert found.remedy


def test_a_file_that_is_no_database_is_red(look: Look, machine: Settings) -> None:
    machine.data_dir.mkdir()
    (machine.data_dir / "resonance.db").write_bytes(b"no database at all " * 200)
    found = look("database")
    assert found.level == "red"
    assert "damaged" in found.says


def test_a_torn_page_is_found(look: Look, database: Path) -> None:
    """The schema still reads well: only SQLite's own check sees the damage."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode=DELETE")  # nothing left in the log beside the file
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'letters'")
    page = root.fetchone()[0]
    connection.close()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 64)
    found = look("database")
    assert found.level == "red"
    assert "damaged" in found.says
    assert "backup" in found.remedy


@pytest.mark.parametrize("where", ["/proc/none/x.db", "{tmp}/campaign.toml/x.db", "{tmp}"])
def test_a_place_that_takes_no_file_is_red(
    look: Look, machine: Settings, tmp_path: Path, where: str
) -> None:
    url = Secret(f"sqlite:///{where.format(tmp=tmp_path)}")
    found = look("database", changed=replace(machine, database_url=url))
    assert found.level == "red"
    assert "DATABASE_URL" in found.remedy


def test_a_database_that_belongs_to_somebody_else_is_red(
    look: Look, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _mode: path != database)
    found = look("database")
    assert (found.level, found.says) == ("red", f"{database} is not writable")


def test_a_kind_of_database_that_we_do_not_speak_is_red(look: Look, machine: Settings) -> None:
    url = Secret("mysql://user:pass-word-9@db/x")
    found = look("database", changed=replace(machine, database_url=url))
    assert found.level == "red"
    assert "must be sqlite:///PATH or postgresql+psycopg://" in found.says


@pytest.mark.parametrize(
    ("mb", "level"), [(500, "green"), (499, "orange"), (50, "orange"), (49, "red")]
)
def test_a_full_disk_is_told_before_it_is_full(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mb: int, level: str
) -> None:
    class Usage:
        free = mb * 1024 * 1024

    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage)
    found = look("disk")
    assert (found.level, found.says) == (level, f"{mb} MB free at {tmp_path}")


# ---- Zoom ------------------------------------------------------------------------------------


def test_a_wrong_client_secret_gives_zooms_words_and_the_app_to_look_at(
    ask: Look, settings: Settings
) -> None:
    wrong = replace(settings, zoom_client_id=Secret("Cl1entIdOfTheApp"))
    found = ask("Zoom token", changed=wrong)
    assert found.level == "red"
    assert "400" in found.says
    assert "Invalid client_id or client_secret" in found.says
    assert "Server-to-Server OAuth app whose Client ID ends in eApp" in found.remedy
    assert ask("scopes", changed=wrong).says == "not checked: Zoom token first"
    assert ask("host licensed", changed=wrong).says == "not checked: Zoom token first"
    assert ask("host free", changed=wrong).says == "not checked: Zoom token first"


def test_the_end_of_a_short_client_id_would_give_it_away(ask: Look, settings: Settings) -> None:
    found = ask("Zoom token", changed=replace(settings, zoom_client_id=Secret("ShortId")))
    assert "Server-to-Server OAuth app:" in found.remedy


def test_a_refused_client_is_not_asked_about_again(
    settings: Settings, clock: Clock, zoom: SimulatedZoom
) -> None:
    """Zoom disables an app that keeps failing."""
    list(examine(replace(settings, zoom_client_secret=Secret("wrong")), now=clock))
    assert [call.operation for call in zoom.calls] == ["token"]


def test_a_zoom_out_of_reach_is_red(
    ask: Look, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    patiently = open_zoom
    monkeypatch.setattr(
        doctor, "open_zoom", lambda s, *, now: patiently(s, now=now, sleep=lambda _seconds: None)
    )
    away = replace(settings, zoom_oauth_url=f"http://127.0.0.1:{free_port()}/oauth/token")
    found = ask("Zoom token", changed=away)
    assert found.level == "red"
    assert "no answer from Zoom" in found.says
    assert found.remedy
    assert ask("clock", changed=away).says == "not checked: Zoom token first"


def test_missing_scopes_are_named_for_copying(ask: Look, zoom: SimulatedZoom) -> None:
    zoom.scopes -= {"meeting:delete:registrant:admin", "meeting:update:meeting:admin"}
    found = ask("scopes")
    assert found.level == "red"
    assert found.says == (
        "the app lacks 2 scopes: meeting:delete:registrant:admin meeting:update:meeting:admin"
    )
    assert "new scopes need a new token: wait a few minutes and run check again" in found.remedy
    assert ask("host licensed").level == "green"


def test_classic_scopes_are_as_good(ask: Look, zoom: SimulatedZoom) -> None:
    zoom.scopes = frozenset({"meeting:read:admin", "meeting:write:admin", "user:read:admin"})
    assert ask("scopes").level == "green"


def test_what_needs_a_missing_scope_is_not_tried(ask: Look, zoom: SimulatedZoom) -> None:
    zoom.scopes -= {"user:read:user:admin"}
    assert ask("host licensed").says == "not checked: scopes first"
    assert ask("host free").says == "not checked: host licensed first"
    zoom.scopes = frozenset({"user:read:user:admin"})
    assert ask("host free").says == "not checked: scopes first"
    assert [call.operation for call in zoom.calls] == ["token", "token", "token", "user"]


def test_a_host_without_a_licence_cannot_have_registration(ask: Look, zoom: SimulatedZoom) -> None:
    zoom.host_type = 1
    found = ask("host licensed")
    assert found.level == "red"
    assert "registration is impossible" in found.says
    assert ask("host free").says == "not checked: host licensed first"


def test_a_host_whom_zoom_does_not_know_is_told_without_the_address(
    ask: Look, zoom: SimulatedZoom
) -> None:
    zoom.host_email = "somebody@example.net"
    found = ask("host licensed")
    assert (found.level, found.says) == ("red", "zoom_host names nobody in this Zoom account")
    assert "zoom_host in the campaign file" in found.remedy


# teletravail meets from 08:00 to 10:00 UTC on 9 February 2021.
@pytest.mark.parametrize(
    ("start", "minutes", "level"),
    [
        ("2021-02-09 07:00", 30, "green"),  # ends when the half hour before begins
        ("2021-02-09 07:00", 31, "orange"),
        ("2021-02-09 10:29", 60, "orange"),
        ("2021-02-09 10:30", 60, "green"),
        ("2021-02-08 08:00", 1440, "orange"),  # all day long, begun the day before
    ],
)
def test_another_meeting_of_the_host_is_told_by_number_and_time(
    ask: Look, zoom: SimulatedZoom, start: str, minutes: int, level: str
) -> None:
    other = zoom.create_meeting(
        topic="Entretien de Mme Durand",
        start_time=datetime.fromisoformat(start).replace(tzinfo=UTC),
        duration=minutes,
    )
    found = ask("host free")
    assert found.level == level
    assert "Durand" not in found.says
    told = f"meeting {other.id} ({start} UTC) overlaps teletravail"
    assert (told in found.says) == (level == "orange")


def test_a_meeting_without_a_fixed_time_stands_in_nobodys_way(
    ask: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    anytime = MeetingSummary(8501, "Salle ouverte", "", None, 60, "Europe/Paris")
    monkeypatch.setattr(ZoomClient, "list_meetings", lambda _client, _host: [anytime])
    assert ask("host free").level == "green"


def test_our_own_meetings_do_not_stand_in_our_way(ask: Look, zoom: SimulatedZoom) -> None:
    zoom.create_meeting(
        topic="Renamed by hand",
        agenda="Réf. resonance-2021/teletravail\nOù, comment, avec qui ?",
        start_time=datetime(2021, 2, 9, 8, tzinfo=UTC),
        duration=120,
    )
    assert ask("host free").level == "green"


@pytest.mark.parametrize(
    ("ahead", "level", "says"),
    [
        (5, "green", "this machine's clock agrees with Zoom's within 5 seconds"),
        (6, "orange", "this machine's clock is 6 seconds ahead of Zoom's"),
        (-120, "orange", "this machine's clock is 120 seconds behind Zoom's"),
        (-3600, "red", "this machine's clock is 3600 seconds behind Zoom's"),
    ],
)
def test_a_clock_that_is_wrong_is_told_by_how_much(
    ask: Look, settings: Settings, clock: Clock, ahead: int, level: str, says: str
) -> None:
    found = ask("clock", changed=settings, now=lambda: clock() + timedelta(seconds=ahead))
    assert (found.level, found.says) == (level, says)
    assert ("ntp" in found.remedy) == (level != "green")


def test_the_clock_is_told_even_when_zoom_refuses_the_token(
    ask: Look, settings: Settings, clock: Clock
) -> None:
    """A wrong clock may be why."""
    wrong = replace(settings, zoom_client_secret=Secret("wrong"))
    assert ask("clock", changed=wrong, now=lambda: clock() - timedelta(hours=1)).level == "red"


def test_without_the_time_of_zoom_nothing_is_said_of_ours(settings: Settings) -> None:
    answered = patient(settings)
    answered.granted = frozenset()
    assert answered.zoom.clock_skew is None
    assert at_zoom.clock(answered).level == "orange"


# ---- the way in ------------------------------------------------------------------------------


def test_polling_needs_neither_secret_nor_address(look: Look, machine: Settings) -> None:
    polling = replace(machine, webhooks=False, zoom_webhook_secrets=())
    found = look("webhook secret", changed=polling)
    assert (found.level, found.says) == ("green", "off: polling every 2 minutes")
    found = look("public address", changed=polling)
    assert (found.level, found.says) == ("green", "not needed: WEBHOOKS=off")


def test_a_missing_webhook_secret_is_red_and_the_address_waits_for_it(
    look: Look, machine: Settings
) -> None:
    bare = replace(machine, zoom_webhook_secrets=())
    found = look("webhook secret", changed=bare)
    assert found.level == "red"
    assert "Event Subscriptions" in found.remedy
    assert look("public address", changed=bare).says == "not checked: webhook secret first"


def test_a_webhook_secret_that_was_cut_is_orange(look: Look, machine: Settings) -> None:
    cut = replace(machine, zoom_webhook_secrets=(Secret(WEBHOOK_SECRET), Secret("x" * 15)))
    found = look("webhook secret", changed=cut)
    assert found.level == "orange"
    assert "16 characters" in found.says


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:8000",
        "https://localhost",
        "https://127.0.0.1",
        "https://192.168.1.20",
        "https://10.0.0.1:8443",
        "https://[fd00::1]",
        "https://[::1]",
        "https://server",
        "https://server.local",
        "http://zoom.mairie.fr",
    ],
)
def test_the_real_zoom_calls_public_https_addresses_only(settings: Settings, address: str) -> None:
    here = replace(settings, zoom_api_url=REAL_ZOOM, public_url=address)
    found = way_in.public_address(patient(here))
    assert found.level == "red"
    assert "Zoom calls https addresses on the public Internet only" in found.says


@pytest.mark.parametrize("address", ["https://zoom.mairie.fr", "https://9.9.9.9:8443"])
def test_a_public_https_address_is_called(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    called = []

    def post(_session: requests.Session, url: str, **_kwargs: Any) -> None:
        called.append(url)
        raise requests.ConnectTimeout

    monkeypatch.setattr(requests.Session, "post", post)
    there = replace(settings, zoom_api_url=REAL_ZOOM, public_url=address)
    found = way_in.public_address(patient(there))
    assert called == [f"{address}/webhooks/zoom"]
    assert found.level == "orange"
    assert "no connection from this machine within 3 seconds" in found.says


def test_our_own_daemon_answers_the_challenge(
    ask: Look, settings: Settings, service: Service
) -> None:
    with served(make_app(service)) as address:
        found = ask("public address", changed=replace(settings, public_url=address))
    assert found == Point("public address", "green", "PUBLIC_URL answers Zoom's challenge rightly")


def test_a_proxy_for_the_way_out_is_not_asked_for_the_way_to_this_machine(
    look: Look, machine: Settings, strangers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "")
    found = look("public address", changed=replace(machine, public_url=f"{strangers}/404"))
    assert "(404)" in found.says


def test_during_a_rotation_the_new_secret_is_tried(
    ask: Look, settings: Settings, service: Service
) -> None:
    both = (Secret("the-new-webhook-secret"), Secret(WEBHOOK_SECRET))
    service.settings = replace(settings, zoom_webhook_secrets=both)
    with served(make_app(service)) as address:
        changed = replace(service.settings, public_url=address)
        assert ask("public address", changed=changed).level == "green"
        service.settings = settings  # a daemon that was not restarted
        assert "refused (401)" in ask("public address", changed=changed).says


def test_a_daemon_with_another_secret_refuses_us(
    ask: Look, settings: Settings, service: Service
) -> None:
    service.settings = replace(settings, zoom_webhook_secrets=(Secret("another-secret-of-old"),))
    with served(make_app(service)) as address:
        found = ask("public address", changed=replace(settings, public_url=address))
    assert found.level == "red"
    assert "refused (401)" in found.says
    assert "another ZOOM_WEBHOOK_SECRET_TOKEN" in found.remedy


async def _lies(request: Request) -> Response:
    body = await request.json()
    return JSONResponse({"plainToken": body["payload"]["plainToken"], "encryptedToken": "0" * 64})


# By the first part of the path, what stands there in place of the daemon.
STRANGERS: dict[str, Any] = {
    "301": RedirectResponse("https://elsewhere.test/webhooks/zoom", 301),
    "404": Response(status_code=404),
    "405": Response(status_code=405),
    "502": Response(status_code=502),
    "403": Response(status_code=403),
    "204": Response(status_code=204),
    "says-ok": PlainTextResponse("ok"),
    "says-true": JSONResponse([True]),
    "lies": _lies,
}


@pytest.fixture(scope="module")
def strangers() -> Iterator[str]:
    routes = [
        Route(f"/{n}/webhooks/zoom", _says(a), methods=["POST"]) for n, a in STRANGERS.items()
    ]
    with served(Starlette(routes=routes)) as address:
        yield address


def _says(answer: Any) -> Any:
    async def says(_request: Request) -> Response:
        return answer  # type: ignore[no-any-return]

    return says if isinstance(answer, Response) else answer


@pytest.mark.parametrize(
    ("stranger", "level", "says"),
    [
        ("301", "red", "a redirect (301), and Zoom follows none"),
        ("404", "red", "nothing there under /webhooks/zoom (404)"),
        ("405", "red", "nothing there under /webhooks/zoom (405)"),
        ("502", "orange", "the proxy answers, the service behind it does not (502)"),
        ("403", "red", "a wrong answer to Zoom's challenge (403)"),
        ("204", "red", "a wrong answer to Zoom's challenge (204)"),
        ("says-ok", "red", "a wrong answer to Zoom's challenge (200)"),
        ("says-true", "red", "a wrong answer to Zoom's challenge (200)"),
        ("lies", "red", "a wrong answer to Zoom's challenge (200)"),
    ],
)
def test_each_way_of_not_answering_has_its_own_sentence(
    look: Look, machine: Settings, strangers: str, stranger: str, level: str, says: str
) -> None:
    found = look("public address", changed=replace(machine, public_url=f"{strangers}/{stranger}"))
    assert (found.level, found.says) == (level, f"PUBLIC_URL: {says}")
    assert found.remedy


def test_where_nothing_listens_the_daemon_may_not_run(look: Look, machine: Settings) -> None:
    alone = replace(machine, public_url=f"http://127.0.0.1:{free_port()}")
    found = look("public address", changed=alone)
    assert (found.level, found.says) == ("orange", "PUBLIC_URL: connection refused")
    assert "Is the daemon running?" in found.remedy


def test_plain_http_behind_an_https_address_is_a_tls_failure(
    look: Look, machine: Settings, strangers: str
) -> None:
    secure = strangers.replace("http://", "https://")
    found = look("public address", changed=replace(machine, public_url=secure))
    assert found.level == "red"
    assert "TLS" in found.says


def test_an_answer_that_does_not_come_is_not_waited_for(
    look: Look, machine: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way_in, "ZOOM_PATIENCE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        found = look("public address", changed=replace(machine, public_url=address))
    assert found.level == "red"
    assert "no answer within" in found.says


def test_a_right_answer_that_comes_too_late_is_red() -> None:
    late = requests.Response()
    late.status_code, late._content = 200, b'{"plainToken": "p", "encryptedToken": "e"}'
    expected = {"plainToken": "p", "encryptedToken": "e"}
    late.elapsed = timedelta(seconds=3)
    assert way_in._answered(late, expected).level == "green"
    late.elapsed = timedelta(seconds=3.1)
    found = way_in._answered(late, expected)
    assert (found.level, found.says) == ("red", "PUBLIC_URL: the answer took longer than 3 seconds")


def test_a_name_that_nobody_knows_is_a_matter_for_the_dns(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_args: Any, **_kwargs: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    found = way_in.public_address(patient(replace(settings, public_url="http://zoom.mairie.test")))
    assert (found.level, found.says) == ("red", "PUBLIC_URL: its name is not known to the DNS")


def test_a_connection_that_breaks_off_is_told_as_such(
    machine: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(*_args: Any, **_kwargs: Any) -> None:
        raise requests.ConnectionError(ConnectionResetError())

    monkeypatch.setattr(requests.Session, "post", post)
    found = way_in.public_address(patient(machine))
    assert found.level == "red"
    assert found.says == "PUBLIC_URL: the connection broke off (ConnectionError)"


# ---- mail ------------------------------------------------------------------------------------


def test_without_a_relay_letters_stay_on_this_machine(look: Look, machine: Settings) -> None:
    found = look("mail", changed=replace(machine, smtp_url=None))
    assert found.level == "orange"
    assert found.says == f"no SMTP_URL: letters only go to the Maildir {machine.data_dir}/mail"


@pytest.mark.parametrize(("password", "level"), [("pass-word-9", "green"), ("of-old-9", "red")])
def test_a_login_is_really_tried(look: Look, machine: Settings, password: str, level: str) -> None:
    with guarded_relay() as relay:
        url = Secret(f"smtp://jean%40example.net:{password}@{relay}")
        found = look("mail", changed=replace(machine, smtp_url=url))
    assert found.level == level
    assert ("SMTP_URL" in found.remedy) == (level == "red")


def test_a_relay_that_is_down_is_red(look: Look, machine: Settings) -> None:
    url = Secret(f"smtp://127.0.0.1:{free_port()}")
    found = look("mail", changed=replace(machine, smtp_url=url))
    assert found.level == "red"
    assert "SMTP_URL" in found.remedy


@pytest.mark.parametrize(
    ("sender", "level"),
    [
        ("lettres@example.org", "green"),
        ("Lettres <lettres@EXAMPLE.org>", "green"),
        (None, "green"),
        ("lettres@example.net", "orange"),
    ],
)
def test_a_sender_of_another_domain_calls_for_spf_and_dkim(
    look: Look, machine: Settings, mail_server: MailServer, sender: str | None, level: str
) -> None:
    sending = replace(machine, smtp_url=Secret(mail_server.url), mail_from=sender)
    found = look("mail", changed=sending)
    assert found.level == level
    if level == "orange":
        assert "letters leave from example.net, the organiser is at example.org" in found.says
        assert "SPF and DKIM records of example.net" in found.remedy


# ---- returned mail ---------------------------------------------------------------------------


def test_without_a_mailbox_nothing_is_wrong_and_it_is_said(look: Look) -> None:
    found = look("returned mail")
    assert (found.level, found.says) == (
        "green", "BOUNCES_URL is not set: nobody sees here which letters came back",
    )  # fmt: skip


@pytest.mark.parametrize("knows", [True, False])
def test_the_mailbox_of_what_came_back_is_really_entered(
    look: Look, machine: Settings, knows: bool
) -> None:
    with ImapPeer() as peer:
        peer.knows = knows
        peer.put(b"From: aunt@example.org\n\nA word between us\n")
        found = look("returned mail", changed=replace(machine, bounces_url=Secret(peer.url)))
    if knows:
        assert (found.level, found.says) == (
            "green", "the mailbox at 127.0.0.1 can be read (1 message)",
        )  # fmt: skip
        assert not any("FETCH" in words for words in peer.heard)
    else:  # letters leave all the same
        assert found.level == "orange"
        assert found.says.startswith("the mailbox at 127.0.0.1 refuses the login: ")
        assert "BOUNCES_URL" in found.remedy


# ---- what lies underneath --------------------------------------------------------------------


def test_the_campaigns_zone_can_be_loaded(look: Look) -> None:
    found = look("time zone data")
    assert (found.level, found.says) == ("green", "Europe/Paris can be loaded")


def test_a_zone_whose_data_are_gone_is_red(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even though the process still remembers it from before."""

    class Forgotten:
        @staticmethod
        def no_cache(key: str) -> None:
            raise ZoneInfoNotFoundError(key)

    monkeypatch.setattr(this_machine, "ZoneInfo", Forgotten)
    found = look("time zone data")
    assert (found.level, found.says) == ("red", "Europe/Paris cannot be loaded")
    assert "tzdata" in found.remedy


def test_a_machine_without_any_zone_is_told_so(
    look: Look, campaign_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The campaign file is refused then, and its author would look for a fault of their own."""
    monkeypatch.setattr(this_machine, "available_timezones", set)
    rewrite(campaign_file, "Europe/Paris", "Europe/Nowhere")
    found = look("time zone data")
    assert (found.level, found.says) == ("red", "this machine knows no time zone at all")


def test_versions_are_named(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(this_machine, "SAFE_PYTHON", {})
    found = look("versions")
    python = ".".join(str(part) for part in sys.version_info[:3])
    assert found.level == "green"
    assert found.says.startswith(f"Python {python}")
    assert f"SQLite {sqlite3.sqlite_version}" in found.says


@pytest.mark.parametrize("name", ["OLDEST_PYTHON", "OLDEST_SQLITE"])
def test_what_is_too_old_is_red(look: Look, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(this_machine, name, (99, 9))
    found = look("versions")
    assert found.level == "red"
    assert "99.9 or newer" in found.remedy


def test_root_is_advised_against(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = look("versions")
    assert found.level == "orange"
    assert "running as root" in found.says


@pytest.mark.parametrize(("lacks", "level"), [(1, "orange"), (0, "green")])
def test_a_python_behind_its_security_corrections_is_orange(
    look: Look, monkeypatch: pytest.MonkeyPatch, lacks: int, level: str
) -> None:
    line, patch = sys.version_info[:2], sys.version_info[2]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(this_machine, "SAFE_PYTHON", {line: patch + lacks})
    found = look("versions")
    assert found.level == level
    assert ("lacks security corrections" in found.says) == (level == "orange")


def test_an_address_that_must_be_corrected_in_the_file_is_shown(
    look: Look, campaign_file: Path
) -> None:
    rewrite(campaign_file, "organisation@example.org", "organisation@example org")
    assert "organisation@example org" in look("campaign file").says
