"""Personal data: what is known can be read, and ends for good, for one person or for everybody."""

import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import delete
from starlette.testclient import TestClient

from resonance_zoom.errors import DatabaseBusy, ZoomRefused
from resonance_zoom.service import Service
from resonance_zoom.store.engine import Store
from resonance_zoom.store.tables import events, journal, letters, registrants, tombstones
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.client import ZoomClient
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from resonance_zoom.zoom.simulator.records import SimRegistrant
from tests.conftest import Clock, Type
from tests.kept import CANARY, files_with, rows, run
from tests.mail_server import MailServer

EMAIL = f"{CANARY}@example.org"


@pytest.fixture(autouse=True)
def terminal_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are typed at the same time as everything else happens."""
    monkeypatch.setattr("resonance_zoom.commands.keeping.utc_now", clock)


@pytest.fixture
def meetings(service: Service, zoom: SimulatedZoom) -> list[SimMeeting]:
    run(service, "create_meetings")
    return sorted(zoom.meetings.values(), key=lambda one: one.start_time)


@pytest.fixture
def person(
    service: Service, zoom: SimulatedZoom, meetings: list[SimMeeting], mail_server: MailServer
) -> list[str]:
    """Among forty others, one is registered in both groups and has both links; their secrets."""
    for number in range(40):
        zoom.register(meetings[0].id, email=f"p{number}@example.org", first_name=f"P{number}")
    mine = [
        zoom.register(meeting.id, email=EMAIL, first_name=CANARY.title(), last_name="Martin")
        for meeting in meetings
    ]
    run(service, "sync_registrants", "deliver_letters")
    assert len(mail_server.to(EMAIL)) == 2
    return [word for one in mine for word in (one.id, str(one.join_url).partition("tk=")[2])]


@pytest.fixture
def web(web_server: WebServer, zoom: SimulatedZoom) -> WebServer:
    zoom.subscribe(f"http://127.0.0.1:{web_server.port}/webhooks/zoom")
    return web_server


def registered(meeting: SimMeeting) -> SimRegistrant:
    """The person's registration as Zoom holds it."""
    found = meeting.registrant(EMAIL)
    assert found is not None
    return found


def known(service: Service) -> list[tuple[str, str]]:
    """(group, status) of everything under the address."""
    found = [row for row in rows(service, registrants) if row.email == EMAIL]
    return [(row.focus_group, row.status) for row in found]


# ---- one person ------------------------------------------------------------------------------


def test_export_hands_a_person_everything_and_nothing_of_others(
    service: Service, person: list[str], types: Type, tmp_path: Path
) -> None:
    code, out, _ = types("export", EMAIL.upper())
    found = json.loads(out)
    assert code == 0
    assert found["email"] == EMAIL
    assert [row["focus_group"] for row in found["registrations"]] == [
        "teletravail",
        "espaces-exterieurs",
    ]
    assert found["registrations"][0].keys() == {column.name for column in registrants.columns}
    assert [row["kind"] for row in found["letters"]] == ["confirmation", "confirmation"]
    assert len(found["told"]) == 2
    mine = {row["id"] for row in found["registrations"]}
    assert {row["registrant"] for row in found["journal"]} == mine
    assert {row["registrant"] for row in found["letters"]} == mine
    assert "p1@example.org" not in out
    code, out, _ = types("export", EMAIL, "--output", "theirs.json")
    assert (code, out) == (0, "")
    assert json.loads((tmp_path / "theirs.json").read_text("utf-8")) == found
    assert (tmp_path / "theirs.json").stat().st_mode & 0o777 == 0o600
    assert types("export", EMAIL, "--output", "theirs.json")[0] == 1
    assert types("export", "nobody@example.org")[0] == 1


@pytest.mark.of_a_file("its bytes are looked for in the file")
def test_erase_leaves_no_byte_of_a_person_in_database_log_or_letters(
    service: Service, person: list[str], types: Type, meetings: list[SimMeeting]
) -> None:
    folder = service.settings.data_dir
    kept_here = folder / "mail" / "new"
    kept_here.mkdir(parents=True)
    mine = [row for row in rows(service, registrants) if row.email == EMAIL]
    ours = [row for row in rows(service, letters) if row.registrant == mine[0].id]
    name = ours[0].message_id.strip("<>").partition("@")[0]
    (kept_here / f"{name}.1").write_text(f"To: {EMAIL}")
    (kept_here / "of-another.1").write_text("To: p1@example.org")
    assert files_with(folder, CANARY) >= {f"{name}.1"}
    code, out, err = types("erase", EMAIL, "--yes")
    assert (code, out) == (
        0,
        "erased in 2 focus groups; backups older than this still hold the person\n",
    ), err
    assert files_with(folder, CANARY, *person) == set()
    assert files_with(folder, "p1@example.org") >= {"resonance.db", "of-another.1"}
    at_zoom = [one for one in map(registered, meetings) if one.status != "deleted"]
    assert at_zoom == []
    assert len(rows(service, registrants)) == 42  # the counts stay
    assert types("erase", EMAIL, "--yes")[0] == 1


def test_a_letter_that_waits_is_dropped_by_the_erasure_and_never_goes(
    service: Service,
    zoom: SimulatedZoom,
    meetings: list[SimMeeting],
    mail_server: MailServer,
    types: Type,
    clock: Clock,
) -> None:
    mail_server.answers["RCPT"] = ["451 4.7.1 later"]
    zoom.register(meetings[0].id, email=EMAIL, first_name="A")
    run(service, "sync_registrants", "deliver_letters")
    assert [row.state for row in rows(service, letters)] == ["queued"]
    assert types("erase", EMAIL, "--yes")[0] == 0
    (row,) = rows(service, letters)
    assert (row.state, row.reason, row.detail, row.message_id) == ("dropped", "erased", None, None)
    clock.move(hours=1)
    run(service, "deliver_letters")
    assert mail_server.kept == []


@pytest.mark.of_a_file("its bytes are looked for in the file")
def test_what_a_program_without_care_has_deleted_is_gone_with_the_next_erasure(
    service: Service, person: list[str], types: Type
) -> None:
    """SQLite leaves bytes behind unless it is told otherwise; a database browser may not tell it."""
    assert service.settings.database_file is not None
    with closing(sqlite3.connect(service.settings.database_file)) as careless:
        careless.execute("PRAGMA secure_delete=OFF")
        careless.execute("INSERT INTO meta VALUES ('left', ?)", ["left-behind " * 2_000])
        careless.commit()
        careless.execute("DELETE FROM meta WHERE key = 'left'")
        careless.commit()
        careless.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert files_with(service.settings.data_dir, "left-behind") == {"resonance.db"}
    assert types("erase", EMAIL, "--yes")[0] == 0
    assert files_with(service.settings.data_dir, "left-behind") == set()


@pytest.mark.of_a_file("its bytes are looked for in the file")
def test_what_is_still_being_read_while_erasing_is_cleared_within_the_hour(
    service: Service, person: list[str], types: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_store: Store) -> None:
        raise DatabaseBusy("somebody reads")

    with monkeypatch.context() as patched:
        patched.setattr(type(service.store), "scrub", busy)
        assert types("erase", EMAIL, "--yes")[0] == 0
    assert files_with(service.settings.data_dir, CANARY) != set()
    run(service, "purge_personal_data")
    assert files_with(service.settings.data_dir, CANARY) == set()


def test_a_mail_servers_words_that_quote_an_address_are_erased_from_the_journal(
    service: Service,
    zoom: SimulatedZoom,
    meetings: list[SimMeeting],
    mail_server: MailServer,
    types: Type,
) -> None:
    mail_server.answers["RCPT"] = [f"550 5.1.1 <{EMAIL}>: unknown here"]
    zoom.register(meetings[0].id, email=EMAIL, first_name="A")
    run(service, "sync_registrants", "deliver_letters")
    assert [row.state for row in rows(service, letters)] == ["failed"]
    assert types("erase", EMAIL, "--yes")[0] == 0
    assert files_with(service.settings.data_dir, CANARY) == set()
    assert any("unknown here" in row.message for row in rows(service, journal))


def test_who_was_erased_stays_out_however_often_zoom_lists_them(
    service: Service,
    zoom: SimulatedZoom,
    person: list[str],
    meetings: list[SimMeeting],
    mail_server: MailServer,
    types: Type,
    clock: Clock,
) -> None:
    mine = [registered(meeting) for meeting in meetings]
    types("erase", EMAIL, "--yes")
    for registration in mine:  # a list that lags behind
        registration.status = "approved"
    for _ in range(3):
        clock.move(minutes=10)
        run(service, "sync_registrants", "deliver_letters")
    assert known(service) == []
    assert len(mail_server.to(EMAIL)) == 2
    told = [row for row in rows(service, journal) if row.kind == "registration.ignored"]
    assert len(told) == 1
    assert told[0].registrant is None
    assert files_with(service.settings.data_dir, CANARY) == set()


def test_a_late_notification_of_somebody_erased_is_not_kept(
    service: Service,
    zoom: SimulatedZoom,
    meetings: list[SimMeeting],
    web: WebServer,
    types: Type,
    clock: Clock,
) -> None:
    zoom.register(meetings[0].id, email=EMAIL, first_name=CANARY)
    zoom.deliver_due()
    assert known(service) == [("teletravail", "approved")]
    clock.move(seconds=30)
    zoom.cancel(meetings[0].id, email=EMAIL)  # told after the erasure
    types("erase", EMAIL, "--yes")
    clock.move(seconds=30)
    assert [delivery.status for delivery in zoom.deliver_due()] == [200]
    assert known(service) == []
    assert files_with(service.settings.data_dir, CANARY) == set()


def test_an_echo_of_the_erasure_itself_is_not_kept(
    service: Service,
    zoom: SimulatedZoom,
    meetings: list[SimMeeting],
    web: WebServer,
    types: Type,
    clock: Clock,
) -> None:
    """Zoom may tell our own deletion as a cancellation, with a later stamp and the name."""
    zoom.register(meetings[0].id, email=EMAIL, first_name=CANARY)
    run(service, "sync_registrants")
    registration = registered(meetings[0])
    types("erase", EMAIL, "--yes")
    clock.move(seconds=30)
    registration.status = "approved"
    zoom.host_cancel(meetings[0].id, email=EMAIL)
    zoom.deliver_due()
    assert known(service) == []
    assert files_with(service.settings.data_dir, CANARY) == set()


def test_an_old_registration_that_is_approved_after_the_erasure_is_no_new_consent(
    service: Service,
    zoom: SimulatedZoom,
    meetings: list[SimMeeting],
    web: WebServer,
    types: Type,
    clock: Clock,
) -> None:
    meetings[0].settings["approval_type"] = 1
    zoom.register(meetings[0].id, email=EMAIL, first_name=CANARY)
    zoom.deliver_due()
    assert known(service) == [("teletravail", "pending")]
    types("erase", EMAIL, "--yes")
    registered(meetings[0]).status = "pending"  # one that Zoom did not delete
    clock.move(minutes=1)
    zoom.approve(meetings[0].id, email=EMAIL)
    zoom.deliver_due()
    run(service, "sync_registrants")
    assert known(service) == []


@pytest.mark.parametrize("way", ["notification", "sweep"])
def test_who_registers_again_after_being_erased_has_consented_anew(
    service: Service,
    zoom: SimulatedZoom,
    person: list[str],
    meetings: list[SimMeeting],
    web: WebServer,
    mail_server: MailServer,
    types: Type,
    clock: Clock,
    way: str,
) -> None:
    zoom.deliver_due()
    types("erase", EMAIL, "--yes")
    clock.move(minutes=1)
    zoom.register(meetings[1].id, email=EMAIL, first_name="A")
    if way == "notification":
        zoom.deliver_due()
    else:
        run(service, "sync_registrants")
    run(service, "deliver_letters")
    assert known(service) == [("espaces-exterieurs", "approved")]
    assert len(mail_server.to(EMAIL)) == 3
    clock.move(minutes=1)
    zoom.cancel(meetings[1].id, email=EMAIL)
    zoom.deliver_due()
    assert known(service) == [("espaces-exterieurs", "cancelled")]


def test_a_new_secret_key_loses_no_erasure(
    service: Service,
    zoom: SimulatedZoom,
    person: list[str],
    meetings: list[SimMeeting],
    types: Type,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
) -> None:
    registration = registered(meetings[0])
    types("erase", EMAIL, "--yes")
    registration.status = "approved"
    monkeypatch.setenv("SECRET_KEY", "f" * 40)
    clock.move(minutes=1)
    assert types("sync")[0] == 0
    assert known(service) == []


def test_when_zoom_cannot_be_told_the_person_is_still_known(
    service: Service, zoom: SimulatedZoom, person: list[str], types: Type
) -> None:
    zoom.faults.api("meetingregistrantdelete", kind="429-daily")
    code, _, err = types("erase", EMAIL, "--yes")
    assert (code, len(known(service))) == (75, 2), err
    assert rows(service, tombstones) == []


# ---- everybody -------------------------------------------------------------------------------


def test_the_day_that_pages_and_letters_name_is_the_day_of_the_purge(
    service: Service, person: list[str], mail_server: MailServer, types: Type, clock: Clock
) -> None:
    """The last meeting is on 16 March 2021, and thirty days are kept: 15 April, Paris time."""
    assert "ils sont effacés le 15 avril 2021" in mail_server.to(EMAIL)[0].text.replace(
        "\u00a0", " "
    )
    page = TestClient(make_app(service), base_url="http://localhost:8000").get("/").text
    assert "effacées le 15 avril 2021" in page.replace("\u00a0", " ")
    clock.to(2021, 4, 14, 21, 59)
    run(service, "purge_personal_data")
    assert len(known(service)) == 2
    code, _, err = types("purge", "--yes")
    assert (code, "personal data are kept until 2021-04-15" in err) == (1, True)
    clock.to(2021, 4, 14, 22, 0)
    run(service, "purge_personal_data")
    assert known(service) == []


def test_a_move_by_hand_moves_the_day_that_pages_and_letters_name_and_the_end_of_links(
    service: Service,
    zoom: SimulatedZoom,
    person: list[str],
    meetings: list[SimMeeting],
    mail_server: MailServer,
    clock: Clock,
) -> None:
    """From 16 March to 20 May: 19 June, and the page of who holds a place is there until then."""
    zoom.edit_meeting(meetings[1].id, start_time=datetime(2021, 5, 20, 8, tzinfo=UTC))
    run(service, "create_meetings")
    clock.move(minutes=11)
    run(service, "create_meetings", "send_reminders", "deliver_letters")
    moved = mail_server.to(EMAIL)[-1]
    assert moved.kind == "moved"
    assert "ils sont effacés le 19 juin 2021" in moved.text.replace("\u00a0", " ")
    visitor = TestClient(make_app(service), base_url="http://localhost:8000")
    own = re.search(r"/me/\S+", moved.text)
    assert own is not None
    for path in ("/", own[0]):
        assert "effacées le 19 juin 2021" in visitor.get(path).text.replace("\u00a0", " ")
    clock.to(2021, 6, 18, 21, 59)
    assert visitor.get(own[0]).status_code == 200
    clock.to(2021, 6, 18, 22, 0)
    assert visitor.get(own[0]).status_code == 404


@pytest.fixture
def copies(service: Service, person: list[str]) -> set[str]:
    """Everything beside the database that holds people."""
    run(service, "back_up_database")
    folder = service.settings.data_dir
    for name in ("resonance.db.before-0002", "resonance.db.aside-2021-01-11T09-00-00"):
        service.store.copy_to(folder / name)
    (folder / "mail" / "cur").mkdir(parents=True)
    (folder / "mail" / "cur" / "letter.1").write_text(f"To: {EMAIL}")
    found = files_with(folder, CANARY)
    assert found >= {
        "resonance-2021-01-11.db",
        "resonance.db.before-0002",
        "resonance.db.aside-2021-01-11T09-00-00",
        "letter.1",
    }
    return found


@pytest.mark.of_a_file("files beside the database are looked through")
def test_the_purge_leaves_no_byte_of_anybody_anywhere_but_the_counts(
    service: Service, person: list[str], copies: set[str], clock: Clock
) -> None:
    clock.to(2021, 4, 15, 0)
    run(service, "purge_personal_data", "back_up_database", "purge_personal_data")
    folder = service.settings.data_dir
    assert files_with(folder, CANARY, "p7@example.org", *person) == set()
    assert [path.name for path in (folder / "backups").iterdir()] == ["resonance-2021-04-15.db"]
    assert [row.status for row in rows(service, registrants)] == ["approved"] * 42
    assert [row.state for row in rows(service, letters)] == ["sent"] * 42
    assert rows(service, events) == []
    purges = [row.data for row in rows(service, journal) if row.kind == "staff.purge"]
    assert purges == [{"by": "resonance-zoom", "registrants": 42, "events": 42, "letters": 42}]


@pytest.mark.of_a_file("files beside the database are looked through")
def test_backups_that_know_people_go_though_a_restored_database_knows_nobody(
    service: Service, person: list[str], copies: set[str], clock: Clock
) -> None:
    with service.store.write() as connection:  # as it was before anybody had registered
        for table in (events, letters, registrants):
            connection.execute(delete(table))
    clock.to(2021, 4, 15, 0)
    run(service, "purge_personal_data", "back_up_database", "purge_personal_data")
    folder = service.settings.data_dir
    assert files_with(folder, CANARY, "p7@example.org", *person) == set()
    assert [path.name for path in (folder / "backups").iterdir()] == ["resonance-2021-04-15.db"]


def test_after_the_purge_nobody_comes_back(
    service: Service,
    zoom: SimulatedZoom,
    person: list[str],
    meetings: list[SimMeeting],
    web: WebServer,
    clock: Clock,
) -> None:
    zoom.deliver_due()
    clock.to(2021, 4, 15, 0)
    run(service, "purge_personal_data")
    zoom.host_cancel(meetings[1].id, email=EMAIL)
    assert [delivery.status for delivery in zoom.deliver_due()] == [200]
    assert rows(service, events) == []
    assert files_with(service.settings.data_dir, CANARY) == set()


def test_a_meeting_moved_by_hand_to_a_later_day_is_not_purged_before_it(
    service: Service,
    zoom: SimulatedZoom,
    person: list[str],
    meetings: list[SimMeeting],
    clock: Clock,
) -> None:
    zoom.edit_meeting(meetings[1].id, start_time=datetime(2021, 5, 20, 8, tzinfo=UTC))
    run(service, "create_meetings")
    clock.to(2021, 6, 18, 21, 59)
    run(service, "purge_personal_data")
    assert len(known(service)) == 2
    clock.to(2021, 6, 18, 22, 0)
    run(service, "purge_personal_data")
    assert known(service) == []


# ---- the end of a campaign -------------------------------------------------------------------


@pytest.mark.of_a_file("files beside the database are looked through")
def test_closing_erases_everybody_here_and_at_zoom_and_leaves_a_receipt(
    service: Service,
    person: list[str],
    copies: set[str],
    meetings: list[SimMeeting],
    types: Type,
    clock: Clock,
) -> None:
    clock.to(2021, 3, 16, 10, 1)
    code, out, err = types("close", "--yes")
    receipt = service.settings.data_dir / "receipt-2021-03-16T10-01-00.json"
    assert (code, out) == (0, f"42 registrants erased; the receipt is {receipt}\n"), err
    told = json.loads(receipt.read_text("utf-8"))
    assert receipt.stat().st_mode & 0o777 == 0o600
    assert told["closed_at"] == "2021-03-16T10:01:00Z"
    assert told["erased"] == {"registrants": 42, "events": 42, "letters": 42}
    assert [
        (group["slug"], group["registrants"], group["at_zoom"]) for group in told["focus_groups"]
    ] == [
        (
            "teletravail",  # Zoom keeps a meeting for thirty days after its end
            {"approved": 41},
            {
                "deleted": 0,
                "left": 0,
                "says": "the meeting is no longer on Zoom, nor are its registrants",
            },
        ),
        ("espaces-exterieurs", {"approved": 1}, {"deleted": 1, "left": 0, "says": ""}),
    ]
    assert registered(meetings[1]).status == "deleted"
    assert files_with(service.settings.data_dir, CANARY, "p7@example.org", *person) == set()
    (line,) = [row for row in rows(service, journal) if row.kind == "staff.close"]
    assert line.data["receipt"] == told


def test_a_campaign_is_not_closed_while_a_meeting_is_to_come(
    service: Service, person: list[str], types: Type, clock: Clock
) -> None:
    clock.to(2021, 3, 16, 9, 59)
    code, _, err = types("close", "--yes", "--output", "receipt.json")
    assert (code, "espaces-exterieurs is still to come" in err) == (1, True)
    assert len(known(service)) == 2
    assert not Path("receipt.json").exists()


def test_what_zoom_keeps_is_said_in_the_receipt(
    service: Service,
    person: list[str],
    types: Type,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(_client: ZoomClient, _meeting: int, _registrant: str) -> None:
        raise ZoomRefused("The host has locked this.", status=400, code=300)

    monkeypatch.setattr(ZoomClient, "delete_registrant", refused)
    clock.to(2021, 3, 17, 10)
    code, _, err = types("close", "--yes", "--output", "receipt.json")
    groups = json.loads(Path("receipt.json").read_text("utf-8"))["focus_groups"]
    assert (code, groups[1]["at_zoom"]) == (
        0,
        {"deleted": 0, "left": 1, "says": "The host has locked this."},
    )
    assert "Zoom kept 1 of espaces-exterieurs: The host has locked this." in err
    assert known(service) == []


def test_when_zoom_cannot_be_asked_nothing_is_closed(
    service: Service, zoom: SimulatedZoom, person: list[str], types: Type, clock: Clock
) -> None:
    clock.to(2021, 3, 17, 10)
    zoom.faults.api("meetingregistrantdelete", kind="429-daily")
    code, _, err = types("close", "--yes", "--output", "receipt.json")
    assert (code, len(known(service))) == (75, 2), err
    assert not Path("receipt.json").exists()
