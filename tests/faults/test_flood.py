"""Somebody registers people by the thousand: we do not write to thousands of strangers unasked."""

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from resonance_zoom import reports
from resonance_zoom.service import Service
from resonance_zoom.store.tables import journal, letters
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.conftest import CAMPAIGN, Clock, Type
from tests.faults.conftest import ZoomCalls
from tests.kept import rows, run
from tests.mail_server import MailServer
from tests.web.town import text


@pytest.fixture
def campaign_file(tmp_path: Path) -> Path:
    """Three confirmations a day, no more."""
    path = tmp_path / "campaign.toml"
    wanted = 'language = "fr"\nconfirmations_per_day = 3'
    path.write_text(CAMPAIGN.replace('language = "fr"', wanted), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def terminal_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resonance_zoom.commands.keeping.utc_now", clock)


def states(service: Service) -> dict[tuple[str, str | None], int]:
    """How many confirmations stand where, and why."""
    found: dict[tuple[str, str | None], int] = {}
    for row in rows(service, letters):
        key = (row.state, row.reason)
        found[key] = found.get(key, 0) + 1
    return found


def register(zoom_calls: ZoomCalls, people: int) -> None:
    assert [zoom_calls.register() for _ in range(people)] == [200] * people


def test_beyond_the_days_limit_confirmations_wait_for_a_yes_and_then_go_once(
    service: Service, zoom_calls: ZoomCalls, mail_server: MailServer, types: Type, clock: Clock
) -> None:
    register(zoom_calls, 8)
    for _ in range(3):
        run(service, "deliver_letters", "watch")
        clock.move(minutes=10)
    assert [letter.recipients[0] for letter in mail_server.kept] == [
        "alice1@example.org",
        "alice2@example.org",
        "alice3@example.org",
    ]
    assert states(service) == {("sent", None): 3, ("in_doubt", "many_today"): 5}
    told = [row for row in rows(service, journal) if row.kind == "letters.many_today"]
    assert [(row.level, row.data) for row in told] == [("error", {"limit": 3})]
    with service.store.read() as connection:
        alerts = reports.status(connection, service.campaign, clock())["alerts"]
    assert alerts == [
        "5 confirmations wait for a yes, more than the file allows in a day: resonance-zoom held"
    ]
    code, out, _ = types("held", "--json")
    assert (code, json.loads(out)) == (
        0,
        [
            {
                "focus_group": "teletravail",
                "kind": "confirmation",
                "reason": "many_today",
                "letters": 5,
            }
        ],
    )
    assert types("held", "--send")[0] == 0
    for _ in range(2):
        run(service, "deliver_letters")
        clock.move(minutes=10)
    assert len({letter.recipients[0] for letter in mail_server.kept}) == 8
    assert len(mail_server.kept) == 8
    assert states(service) == {("sent", None): 8}


def test_the_next_day_of_the_campaigns_zone_counts_anew(
    service: Service, zoom_calls: ZoomCalls, mail_server: MailServer, clock: Clock
) -> None:
    register(zoom_calls, 4)
    clock.to(2021, 1, 11, 22, 59)  # 23:59 in Paris
    register(zoom_calls, 1)
    clock.to(2021, 1, 11, 23, 0)
    register(zoom_calls, 4)
    run(service, "deliver_letters")
    assert len(mail_server.kept) == 6
    assert states(service) == {("sent", None): 6, ("in_doubt", "many_today"): 3}
    told = [row.at.day for row in rows(service, journal) if row.kind == "letters.many_today"]
    assert told == [11, 11]  # by UTC: once for each day in Paris


def test_up_to_the_limit_nothing_is_held_and_nobody_is_alarmed(
    service: Service, zoom_calls: ZoomCalls, mail_server: MailServer, clock: Clock
) -> None:
    register(zoom_calls, 3)
    run(service, "deliver_letters", "watch")
    assert len(mail_server.kept) == 3
    assert not [row for row in rows(service, journal) if row.level in {"warning", "error"}]
    with service.store.read() as connection:
        assert reports.status(connection, service.campaign, clock())["alerts"] == []


def test_who_registers_and_cancels_over_and_over_is_counted_each_time(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    mail_server: MailServer,
    clock: Clock,
) -> None:
    server = WebServer(make_app(service), host="127.0.0.1", port=0)
    server.start()
    try:
        zoom.subscribe(f"http://127.0.0.1:{server.port}/webhooks/zoom")
        for _ in range(5):
            zoom.register(meeting.id, email="victim@example.org", first_name="Alice")
            assert zoom.deliver_due()[-1].status == 200
            run(service, "deliver_letters")
            clock.move(minutes=5)
            zoom.cancel(meeting.id, email="victim@example.org")
            zoom.deliver_due()
            clock.move(minutes=5)
    finally:
        server.stop()
    assert len(mail_server.to("victim@example.org")) == 3


def test_of_a_listing_with_5000_strangers_three_get_a_letter(
    service: Service, zoom: SimulatedZoom, mail_server: MailServer
) -> None:
    """Half of them in each meeting, for Zoom itself takes no more than 4,999 in one."""
    run(service, "create_meetings")
    for number in range(2500):
        for one in zoom.meetings:
            zoom.register(one, email=f"bot{number}@example.org", first_name="Bot")
    run(service, "sync_registrants", "deliver_letters", "sync_registrants", "deliver_letters")
    assert len(mail_server.kept) == 3
    assert states(service) == {("sent", None): 3, ("in_doubt", "many_today"): 4997}


def test_the_staff_pages_say_that_they_have_not_gone_and_what_to_do(
    service: Service, zoom_calls: ZoomCalls, clock: Clock
) -> None:
    register(zoom_calls, 5)
    run(service, "deliver_letters", "sync_registrants", "watch")
    browser = TestClient(
        make_app(service), base_url="http://localhost:8000", follow_redirects=False
    )
    link = service.links.invitation(
        "Claire", "reader", now=clock(), ends_at=clock().replace(day=20)
    )
    assert browser.post(link).status_code == 303
    overview = text(browser.get("/staff/").text)
    assert "2 confirmations sont retenues : il y en avait trop ce jour-là." in overview
    assert "peut-être" not in overview
    person = text(browser.get("/staff/people/5").text)
    assert "il n’est pas parti : trop de confirmations étaient dues ce jour-là" in person
    journal_page = text(browser.get("/staff/journal?level=all").text)
    assert "Plus de 3 confirmations en un jour : les suivantes sont retenues." in journal_page


def test_after_a_restore_the_held_ones_may_have_gone_after_all(
    service: Service, zoom_calls: ZoomCalls, mail_server: MailServer, types: Type, clock: Clock
) -> None:
    """Staff may have said yes after the backup was made."""
    register(zoom_calls, 5)
    run(service, "deliver_letters")
    assert types("backup", "copy.db")[0] == 0
    types("held", "--send")
    run(service, "deliver_letters")
    assert len(mail_server.kept) == 5
    service.close()
    assert types("restore", "copy.db", "--yes")[0] == 0
    code, out, _ = types("held", "--json")
    assert (code, [row["reason"] for row in json.loads(out)]) == (0, ["restored"])


def test_reminders_and_news_of_a_move_know_of_the_held_ones(
    service: Service,
    zoom: SimulatedZoom,
    zoom_calls: ZoomCalls,
    meeting: SimMeeting,
    campaign_file: Path,
    mail_server: MailServer,
    types: Type,
    clock: Clock,
) -> None:
    """Who never had a letter is told of no move: the confirmation to come says the new date."""
    for number in range(5):
        zoom.register(meeting.id, email=f"bot{number}@example.org", first_name="Bot")
    run(service, "sync_registrants", "deliver_letters")
    plan = campaign_file.read_text(encoding="utf-8")
    campaign_file.write_text(plan.replace("2021-02-09", "2021-02-10"), encoding="utf-8")
    for _ in range(3):
        run(service, "watch", "create_meetings", "sync_registrants", "deliver_letters")
        clock.move(minutes=10)
    kinds = [letter.kind for letter in mail_server.kept]
    assert (kinds.count("confirmation"), kinds.count("moved")) == (3, 3)
    types("held", "--send")
    run(service, "deliver_letters")
    assert "mercredi 10 février 2021" in mail_server.kept[-1].text
    clock.to(2021, 2, 3, 8, 0)
    run(service, "send_reminders", "deliver_letters")
    kinds = [letter.kind for letter in mail_server.kept]
    assert (kinds.count("confirmation"), kinds.count("moved")) == (5, 3)
    assert kinds.count("reminder-7") == 5
