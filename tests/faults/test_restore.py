"""An old backup comes back, or a database is lost: nobody is written to twice without a yes.

Nothing is lost either: what may have gone is held, shown, and goes or not as staff say.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, update
from starlette.testclient import TestClient

from jobs import create_meetings
from resonance_zoom import acts, daemon, reports
from resonance_zoom.errors import ZoomUnreachable
from resonance_zoom.service import Service, open_service
from resonance_zoom.settings import Settings
from resonance_zoom.store import journal as notes
from resonance_zoom.store.migrations import upgrade
from resonance_zoom.store.opening import open_store
from resonance_zoom.store.sessions import open_session
from resonance_zoom.store.tables import journal, letters, registrants, sessions, spent
from resonance_zoom.web import webhooks
from resonance_zoom.web.app import make_app
from resonance_zoom.zoom.payloads import Notification, Registrant
from resonance_zoom.zoom.protocol import Verified
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.conftest import Clock, Type
from tests.kept import CANARY, files_with, rows, run
from tests.mail_server import MailServer

Start = Callable[[], Service]
EVERYTHING = (
    "create_meetings",
    "sync_registrants",
    "send_reminders",
    "deliver_letters",
    "watch",
    "purge_personal_data",
    "back_up_database",
)


@pytest.fixture(autouse=True)
def terminal_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("keeping", "acting"):
        monkeypatch.setattr(f"resonance_zoom.commands.{module}.utc_now", clock)


@pytest.fixture
def start(settings: Settings, clock: Clock, service: Service) -> Iterator[Start]:
    """Start the daemon's parts anew on whatever lies where the database should be."""
    started: list[Service] = []

    def anew() -> Service:
        made = open_service(
            settings, now=clock, monotonic=clock.seconds, sleep=lambda _seconds: None
        )
        started.append(made)
        daemon.start_up(made)
        made.store.close()  # the lock alone: commands of these tests stand for a stopped daemon
        return made

    service.close()
    yield anew
    for one in started:
        one.close()


@pytest.fixture
def teletravail(start: Start, zoom: SimulatedZoom) -> SimMeeting:
    """Alice is registered and has her link; the meeting is on 9 February, 8:00 UTC."""
    service = start()
    run(service, "create_meetings")
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    zoom.register(meeting.id, email="alice@example.org", first_name="Alice")
    run(service, *EVERYTHING)
    service.close()
    return meeting


@pytest.fixture
def backup(teletravail: SimMeeting, types: Type, tmp_path: Path) -> Path:
    """As things stood on 11 January."""
    assert types("backup", "january.db")[0] == 0
    return tmp_path / "january.db"


def kinds(mail_server: MailServer, name: str) -> list[str]:
    return [letter.kind for letter in mail_server.to(f"{name}@example.org")]


def held(service: Service) -> list[tuple[str, str | None]]:
    """(kind, reason) of every letter that waits for a yes."""
    return sorted(
        (row.kind, row.reason) for row in rows(service, letters) if row.state == "in_doubt"
    )


def live_until_february(
    start: Start, zoom: SimulatedZoom, meeting: SimMeeting, clock: Clock
) -> None:
    """Bob registers, then both are reminded seven days before; the database dies the day after."""
    clock.to(2021, 1, 20, 9)
    service = start()
    zoom.register(meeting.id, email="bob@example.org", first_name="Bob")
    run(service, *EVERYTHING)
    clock.to(2021, 2, 2, 8, 0)
    run(service, *EVERYTHING)
    service.close()
    clock.to(2021, 2, 3, 9)


# ---- the drill -------------------------------------------------------------------------------


def test_after_a_restore_nothing_that_may_have_gone_goes_again_and_all_of_it_is_shown(
    start: Start,
    zoom: SimulatedZoom,
    teletravail: SimMeeting,
    backup: Path,
    types: Type,
    mail_server: MailServer,
    clock: Clock,
) -> None:
    live_until_february(start, zoom, teletravail, clock)
    assert len(mail_server.kept) == 4
    code, out, err = types("restore", str(backup), "--yes")
    assert (code, out) == (0, f"{backup} is the database now\n"), err
    assert "It knows what happened until 2021-01-11 10:00 UTC." in err
    service = start()
    for _ in range(3):
        clock.move(minutes=10)
        run(service, *EVERYTHING)
    assert len(mail_server.kept) == 4
    assert held(service) == [
        ("confirmation", "restored"),
        ("reminder-7", "restored"),
        ("reminder-7", "restored"),
    ]
    with service.store.read() as connection:
        alerts = reports.status(connection, service.campaign, clock())["alerts"]
    assert alerts[-1].endswith("wait for a yes: resonance-zoom held")
    assert {row.level for row in rows(service, journal) if row.kind == "letters.held"} == {"error"}


def test_who_registers_after_the_restore_and_what_falls_due_then_goes_as_ever(
    start: Start,
    zoom: SimulatedZoom,
    teletravail: SimMeeting,
    backup: Path,
    types: Type,
    mail_server: MailServer,
    clock: Clock,
) -> None:
    live_until_february(start, zoom, teletravail, clock)
    types("restore", str(backup), "--yes")
    service = start()
    run(service, *EVERYTHING)
    clock.move(minutes=1)
    zoom.register(teletravail.id, email="carol@example.org", first_name="Carol")
    run(service, *EVERYTHING)
    assert kinds(mail_server, "carol") == ["confirmation"]
    clock.to(2021, 2, 8, 8, 0)
    run(service, *EVERYTHING)
    assert kinds(mail_server, "alice") == ["confirmation", "reminder-7", "reminder-1"]
    assert kinds(mail_server, "bob") == ["confirmation", "reminder-7", "reminder-1"]
    assert kinds(mail_server, "carol") == ["confirmation", "reminder-1"]


def test_staff_say_yes_for_all_and_they_go_once(
    start: Start,
    zoom: SimulatedZoom,
    teletravail: SimMeeting,
    backup: Path,
    types: Type,
    mail_server: MailServer,
    clock: Clock,
) -> None:
    live_until_february(start, zoom, teletravail, clock)
    types("restore", str(backup), "--yes")
    service = start()
    run(service, *EVERYTHING)
    code, out, _ = types("held", "--json")
    assert (code, json.loads(out)) == (
        0,
        [
            {"focus_group": "teletravail", "kind": kind, "reason": "restored", "letters": count}
            for kind, count in (("confirmation", 1), ("reminder-7", 2))
        ],
    )
    assert types("held", "--drop", "--kind", "reminder-7")[0] == 0
    mail_server.answers["DATA"] = ["451 4.3.0 come again"]  # a yes holds for the next try too
    assert types("held", "--send")[0] == 0
    for _ in range(3):
        run(service, *EVERYTHING)
        clock.move(minutes=5)
    assert kinds(mail_server, "bob") == ["confirmation", "reminder-7", "confirmation"]
    assert kinds(mail_server, "alice") == ["confirmation", "reminder-7"]
    assert held(service) == []
    assert types("held")[2] == "No letter is held.\n"


def test_staff_say_yes_for_one_and_only_that_one_goes(
    start: Start,
    zoom: SimulatedZoom,
    teletravail: SimMeeting,
    backup: Path,
    types: Type,
    mail_server: MailServer,
    clock: Clock,
) -> None:
    live_until_february(start, zoom, teletravail, clock)
    types("restore", str(backup), "--yes")
    service = start()
    run(service, *EVERYTHING)
    (link,) = [row.id for row in rows(service, letters) if row.kind == "confirmation"][1:]
    assert types("resend", str(link))[0] == 0
    run(service, *EVERYTHING)
    assert kinds(mail_server, "bob") == ["confirmation", "reminder-7", "confirmation"]
    assert held(service) == [("reminder-7", "restored"), ("reminder-7", "restored")]


def test_a_copy_asked_for_after_a_restore_is_another_letter_to_mail_programs(
    start: Start,
    teletravail: SimMeeting,
    backup: Path,
    types: Type,
    mail_server: MailServer,
    clock: Clock,
) -> None:
    """They hide what comes under a Message-ID that they have seen."""

    def ask_for_a_copy() -> None:
        clock.move(minutes=10)
        service = start()
        acts.resend(acts.Desk(service.store, service.campaign, clock(), "Alice"), 1)
        run(service, "deliver_letters")
        service.close()

    ask_for_a_copy()
    assert types("restore", str(backup), "--yes")[0] == 0
    ask_for_a_copy()
    assert kinds(mail_server, "alice") == ["confirmation"] * 3
    ids = {letter.message["Message-ID"] for letter in mail_server.to("alice@example.org")}
    assert len(ids) == 3


def test_a_yes_holds_also_for_a_letter_that_must_wait_first(
    start: Start,
    zoom: SimulatedZoom,
    teletravail: SimMeeting,
    backup: Path,
    types: Type,
    mail_server: MailServer,
    clock: Clock,
) -> None:
    live_until_february(start, zoom, teletravail, clock)
    types("restore", str(backup), "--yes")
    service = start()
    run(service, *EVERYTHING)
    types("held", "--drop", "--kind", "reminder-7")
    types("held", "--send")
    with service.store.write() as connection:
        connection.execute(update(registrants).values(absent_since=clock()))
    run(service, "deliver_letters")
    assert [row.reason for row in rows(service, letters) if row.state == "queued"] == ["absent"]
    clock.move(minutes=5)
    run(service, "sync_registrants", "deliver_letters")
    assert kinds(mail_server, "bob") == ["confirmation", "reminder-7", "confirmation"]


@pytest.mark.parametrize("state", ["queued", "sending"])
def test_what_was_on_its_way_when_the_backup_was_made_is_held(
    start: Start,
    zoom: SimulatedZoom,
    teletravail: SimMeeting,
    types: Type,
    mail_server: MailServer,
    clock: Clock,
    tmp_path: Path,
    state: str,
) -> None:
    service = start()
    zoom.register(teletravail.id, email="bob@example.org", first_name="Bob")
    run(service, "sync_registrants")
    with service.store.write() as connection:
        connection.execute(
            update(letters)
            .where(letters.c.state == "queued")
            .values(state=state, attempts=1, claimed_at=clock())
        )
    types("backup", "on-its-way.db")
    service.close()
    clock.move(hours=1)
    types("restore", "on-its-way.db", "--yes")
    service = start()
    run(service, *EVERYTHING)
    assert kinds(mail_server, "bob") == []
    assert held(service) == [("confirmation", "restored")]


def test_who_is_approved_after_the_restore_gets_the_link_at_once(
    start: Start,
    zoom: SimulatedZoom,
    teletravail: SimMeeting,
    types: Type,
    mail_server: MailServer,
    clock: Clock,
    tmp_path: Path,
) -> None:
    """Only a notification says when; an approval that a sweep finds may be an old one."""
    service = start()
    teletravail.settings["approval_type"] = 1
    for name in ("bob", "carol"):
        zoom.register(teletravail.id, email=f"{name}@example.org", first_name=name)
    run(service, "sync_registrants")
    types("backup", "pending.db")
    service.close()
    clock.move(hours=1)
    zoom.approve(teletravail.id, email="bob@example.org")
    clock.move(hours=1)
    types("restore", "pending.db", "--yes")
    service = start()
    clock.move(minutes=1)
    zoom.approve(teletravail.id, email="carol@example.org")
    approved = next(
        one for one in teletravail.registrants.values() if one.email == "carol@example.org"
    )
    notify(service, teletravail, approved.id, approved.join_url, clock)
    run(service, *EVERYTHING)
    assert (kinds(mail_server, "bob"), kinds(mail_server, "carol")) == ([], ["confirmation"])
    assert held(service) == [("confirmation", "restored")]


def notify(
    service: Service, meeting: SimMeeting, number: str, join_url: str | None, clock: Clock
) -> None:
    """As Zoom's signed notification would be kept."""
    told = Notification(
        "meeting.registration_approved",
        int(clock.seconds() * 1000),
        meeting.id,
        Registrant(number, "carol@example.org", "carol", "", "approved", join_url),
    )
    webhooks.keep(service, [webhooks.Call(told, Verified(0, stale=False))])


# ---- moves and groups called off -------------------------------------------------------------


def test_a_move_made_before_the_restore_is_told_only_with_a_yes_a_later_one_at_once(
    start: Start,
    zoom: SimulatedZoom,
    teletravail: SimMeeting,
    backup: Path,
    types: Type,
    mail_server: MailServer,
    clock: Clock,
) -> None:
    clock.to(2021, 1, 20, 9)
    service = start()
    zoom.edit_meeting(teletravail.id, start_time=datetime(2021, 2, 10, 8, tzinfo=UTC))
    run(service, *EVERYTHING)
    clock.move(minutes=11)
    run(service, *EVERYTHING)
    assert kinds(mail_server, "alice") == ["confirmation", "moved"]
    service.close()
    clock.move(hours=1)
    types("restore", str(backup), "--yes")
    service = start()
    for _ in range(3):
        run(service, *EVERYTHING)
        clock.move(minutes=11)
    assert kinds(mail_server, "alice") == ["confirmation", "moved"]
    assert held(service) == [("moved", "restored")]
    zoom.edit_meeting(teletravail.id, start_time=datetime(2021, 2, 11, 8, tzinfo=UTC))
    for _ in range(3):
        run(service, *EVERYTHING)
        clock.move(minutes=11)
    assert kinds(mail_server, "alice") == ["confirmation", "moved", "moved"]


@pytest.mark.parametrize("before", [True, False])
def test_a_group_called_off_before_the_restore_is_told_only_with_a_yes(
    start: Start,
    zoom: SimulatedZoom,
    teletravail: SimMeeting,
    backup: Path,
    types: Type,
    mail_server: MailServer,
    clock: Clock,
    campaign_file: Path,
    before: bool,
) -> None:
    def call_off() -> None:
        words = campaign_file.read_text("utf-8")
        campaign_file.write_text(
            words.replace("ends = 11:00:00\nagenda", "ends = 11:00:00\ncancelled = true\nagenda")
        )

    def live() -> None:
        service = start()
        for _ in range(3):
            run(service, *EVERYTHING)
            clock.move(minutes=11)
        service.close()

    clock.to(2021, 1, 20, 9)
    if before:
        call_off()
        live()
    types("restore", str(backup), "--yes")
    live()
    if not before:
        call_off()
        live()
    assert kinds(mail_server, "alice").count("cancelled") == 1
    service = start()
    assert held(service) == ([("cancelled", "restored")] if before else [])


# ---- erased people ---------------------------------------------------------------------------


@pytest.fixture
def erased(
    start: Start, zoom: SimulatedZoom, teletravail: SimMeeting, types: Type, clock: Clock
) -> SimMeeting:
    """Somebody is in the backup `old.db`, is erased afterwards, and Zoom still lists them."""
    service = start()
    zoom.register(teletravail.id, email=f"{CANARY}@example.org", first_name=CANARY)
    run(service, *EVERYTHING)
    types("backup", "old.db")
    clock.move(hours=1)
    assert types("erase", f"{CANARY}@example.org", "--yes")[0] == 0
    for one in teletravail.registrants.values():
        one.status = "approved"
    service.close()
    return teletravail


def test_a_restore_brings_nobody_back_who_was_erased(
    start: Start, erased: SimMeeting, types: Type, clock: Clock, settings: Settings
) -> None:
    clock.move(hours=1)
    code, _, err = types("restore", "old.db", "--yes")
    assert (code, "1 registrations of people erased since were erased again" in err) == (0, True)
    service = start()
    for _ in range(3):
        clock.move(minutes=10)
        run(service, *EVERYTHING)
    assert files_with(settings.data_dir, CANARY) == set()
    assert [row.email for row in rows(service, registrants)] == ["alice@example.org", ""]


def test_who_was_erased_stays_erased_even_when_the_database_is_beyond_reading(
    start: Start, erased: SimMeeting, types: Type, clock: Clock, settings: Settings
) -> None:
    """The newest daily backup was made after the erasure, and knows of it."""
    service = start()
    run(service, "back_up_database")
    service.close()
    path = settings.data_dir / "resonance.db"
    path.write_bytes(b"\xff" * path.stat().st_size)
    clock.move(hours=1)
    code, _, err = types("restore", "old.db", "--yes")
    assert (code, "!! The old database cannot be read" in err) == (0, True), err
    service = start()
    run(service, *EVERYTHING)
    assert files_with(settings.data_dir, CANARY) == set()


def test_who_was_erased_and_came_back_before_the_backup_stays(
    start: Start,
    zoom: SimulatedZoom,
    erased: SimMeeting,
    types: Type,
    clock: Clock,
) -> None:
    service = start()
    clock.move(hours=1)
    for one in erased.registrants.values():
        one.status = "deleted" if CANARY in one.email else one.status
    zoom.register(erased.id, email=f"{CANARY}@example.org", first_name="Back")
    run(service, *EVERYTHING)
    types("backup", "newer.db")
    service.close()
    clock.move(hours=1)
    types("restore", "newer.db", "--yes")
    service = start()
    assert [row.first_name for row in rows(service, registrants)] == ["Alice", "", "Back"]


# ---- what a restore takes and refuses --------------------------------------------------------


def test_a_restore_is_refused_while_the_service_runs(
    start: Start, backup: Path, types: Type, settings: Settings
) -> None:
    running = open_store(str(settings.database_url))
    running.hold_alone()
    code, _, err = types("restore", str(backup), "--yes")
    running.close()
    assert (code, "another daemon" in err) == (75, True)


@pytest.mark.parametrize("file", ["missing", "letter", "empty", "truncated", "foreign", "newer"])
def test_what_is_no_backup_is_refused_and_the_database_left_alone(
    start: Start, backup: Path, types: Type, settings: Settings, tmp_path: Path, file: str
) -> None:
    bad = tmp_path / "bad.db"
    if file == "letter":
        bad.write_bytes(b"a letter to my aunt" * 500)
    elif file == "empty":
        bad.touch()
    elif file == "truncated":
        bad.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])
    elif file in {"foreign", "newer"}:
        if file == "newer":
            shutil.copy(backup, bad)
        with closing(sqlite3.connect(bad)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS recipes (name TEXT)")
            if file == "newer":
                connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.commit()
    before = (settings.data_dir / "resonance.db").read_bytes()
    there = sorted(path.name for path in settings.data_dir.iterdir())
    code, _, err = types("restore", str(bad), "--yes")
    assert code == 1
    assert str(bad) in err
    assert (settings.data_dir / "resonance.db").read_bytes() == before
    left = {path.name for path in settings.data_dir.iterdir()} - {"resonance.db.lock"}
    assert left == set(there) - {"resonance.db.lock"}


def test_a_backup_of_an_older_version_is_migrated(
    start: Start, backup: Path, types: Type, settings: Settings, tmp_path: Path
) -> None:
    older = open_store(f"sqlite:///{tmp_path}/older.db")
    upgrade(older.engine, "0003")
    older.close()
    assert types("restore", "older.db", "--yes")[0] == 0
    restored = open_store(str(settings.database_url))
    restored.require_current()
    restored.close()
    assert not list(settings.data_dir.glob("*.before-*"))


def test_the_database_that_was_there_is_kept_whole(
    start: Start,
    zoom: SimulatedZoom,
    teletravail: SimMeeting,
    backup: Path,
    types: Type,
    settings: Settings,
) -> None:
    service = start()
    zoom.register(teletravail.id, email="bob@example.org", first_name="Bob")
    run(service, "sync_registrants")
    path = service.store.path
    shutil.copy(path.with_name("resonance.db-wal"), path.with_name("kept-wal"))
    shutil.copy(path, path.with_name("kept"))
    service.close()
    # As after a kill: the last commits are in the log alone.
    path.with_name("kept").replace(path)
    path.with_name("kept-wal").replace(path.with_name("resonance.db-wal"))
    types("restore", str(backup), "--yes")
    (aside,) = [
        one
        for one in settings.data_dir.glob("*.aside-*")
        if one.suffix[-4:] not in {"-wal", "-shm"}
    ]
    assert aside.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(aside)) as connection:
        names = connection.execute("SELECT first_name FROM registrants ORDER BY id").fetchall()
    assert names == [("Alice",), ("Bob",)]
    service = start()
    assert [row.first_name for row in rows(service, registrants)] == ["Alice"]


def test_the_log_of_a_database_that_is_gone_is_not_read_into_the_backup(
    start: Start,
    zoom: SimulatedZoom,
    teletravail: SimMeeting,
    backup: Path,
    types: Type,
    settings: Settings,
) -> None:
    service = start()
    zoom.register(teletravail.id, email="bob@example.org", first_name="Bob")
    run(service, "sync_registrants")
    path = service.store.path
    log = path.with_name("resonance.db-wal")
    shutil.copy(log, path.with_name("kept-wal"))
    service.close()
    path.unlink()
    path.with_name("kept-wal").replace(log)
    assert types("restore", str(backup), "--yes")[0] == 0
    assert (settings.data_dir / "resonance.db.aside-2021-01-11T10-00-00-wal").exists()
    service = start()
    assert [row.first_name for row in rows(service, registrants)] == ["Alice"]


def test_the_brake_and_used_invitations_outlast_a_restore_and_nobody_is_signed_in(
    start: Start, teletravail: SimMeeting, types: Type, clock: Clock
) -> None:
    service = start()
    with service.store.write() as connection:
        open_session(connection, name="Claire", role="admin", now=clock())
    before = service.links.invitation(
        "Zoé", "admin", now=clock(), ends_at=clock() + timedelta(days=7)
    )
    types("backup", "signed-in.db")
    acts.pause(acts.Desk(service.store, service.campaign, clock(), "Claire"))
    with service.store.write() as connection:
        connection.execute(insert(spent).values(token="invitation-1", at=clock()))
    service.close()
    types("restore", "signed-in.db", "--yes")
    service = start()
    with service.store.read() as connection:
        assert notes.recall(connection, notes.PAUSED) == "Claire"
    assert [row.token for row in rows(service, spent)] == ["invitation-1"]
    assert rows(service, sessions) == []  # whoever signed out since would be in again
    # Nor is it known which links were used since: on a server, whose `spent` is the backup's.
    visitor = TestClient(make_app(service), base_url="http://localhost:8000")
    assert visitor.post(before).status_code == 403


# ---- a database that was lost (F58) ----------------------------------------------------------


def lose(settings: Settings) -> None:
    for path in settings.data_dir.iterdir():
        if path.is_file():
            path.unlink()


def test_a_new_database_writes_to_nobody_who_registered_before_it_without_a_yes(
    start: Start,
    zoom: SimulatedZoom,
    teletravail: SimMeeting,
    types: Type,
    mail_server: MailServer,
    clock: Clock,
    settings: Settings,
) -> None:
    clock.to(2021, 2, 2, 8, 0)
    service = start()
    run(service, *EVERYTHING)
    assert kinds(mail_server, "alice") == ["confirmation", "reminder-7"]
    service.close()
    lose(settings)
    clock.move(hours=1)
    service = start()
    run(service, *EVERYTHING)
    run(service, *EVERYTHING)
    assert kinds(mail_server, "alice") == ["confirmation", "reminder-7"]
    assert held(service) == [("confirmation", "adopted"), ("reminder-7", "adopted")]
    clock.move(minutes=1)
    zoom.register(teletravail.id, email="bob@example.org", first_name="Bob")
    run(service, *EVERYTHING)
    assert kinds(mail_server, "bob") == ["confirmation"]
    assert types("held", "--send")[0] == 0
    run(service, *EVERYTHING)
    assert sorted(kinds(mail_server, "alice")) == 2 * ["confirmation"] + 2 * ["reminder-7"]


def test_a_first_start_holds_nothing(
    start: Start, zoom: SimulatedZoom, teletravail: SimMeeting, mail_server: MailServer
) -> None:
    service = start()
    assert kinds(mail_server, "alice") == ["confirmation"]
    assert held(service) == []


def test_a_meeting_whose_creation_was_answered_by_nothing_holds_nobody_back(
    start: Start, zoom: SimulatedZoom, mail_server: MailServer, clock: Clock
) -> None:
    """The intent was written before; who registered since cannot have had a letter."""
    service = start()
    zoom.faults.api("meetingCreate", kind="timeout-after")
    zoom.faults.api("meetings", kind="503", times=None, skip=1)
    with pytest.raises(ZoomUnreachable):
        create_meetings.run(service)
    zoom.faults.api_faults.clear()
    clock.move(minutes=5)
    (meeting,) = zoom.meetings.values()
    zoom.register(meeting.id, email="alice@example.org", first_name="Alice")
    clock.move(minutes=55)
    run(service, *EVERYTHING)
    assert [row.kind for row in rows(service, journal) if row.kind == "meeting.adopted"]
    assert kinds(mail_server, "alice") == ["confirmation"]
