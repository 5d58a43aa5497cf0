"""No page fails on what the database may lack, before, during and after a campaign."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Table, null, select, update
from starlette.testclient import TestClient

import jobs
from jobs.clock import run_job
from resonance_zoom.service import Service
from resonance_zoom.store.tables import journal, letters, meetings, registrants
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock
from tests.mail_server import MailServer
from tests.web.town import Town, town_of

Staff = Callable[..., TestClient]
PAGES = (
    "/",
    "/staff/",
    "/staff/journal?level=all",
    "/staff/journal/1",
    "/staff/journal/3",
    "/staff/registrants",
    "/staff/registrants?q=alice",
    "/staff/registrants.csv",
    "/staff/registrants.xlsx",
    "/staff/people/1",
    "/staff/letters",
    "/staff/letters?person=1",
    "/staff/letters/preview/confirmation/1",
    "/staff/letters/preview/confirmation/1/html",
    "/staff/letters/preview/moved/1",
    "/staff/meetings",
    "/staff/act/resend/1",
    "/staff/act/withdraw/1",
    "/readyz",
    "/metrics",
)


@pytest.fixture
def town(town: Town) -> Town:
    """Alice is registered in both groups and has had two letters."""
    for group in (0, 1):
        town.register("alice", "Alice", "Martin", group=group)
    town.run("sync_registrants", "send_reminders", "deliver_letters", "watch")
    return town


def run(service: Service, *names: str) -> None:
    for name in names:
        run_job(service, jobs.job(name))


def failing(browser: TestClient, service: Service) -> list[str]:
    """The pages that break."""
    me = str(service.links.personal(1)).partition(":8000")[2]
    own = (me, f"{me}/data.json", f"{me}/teletravail.ics", f"{me}/withdraw/teletravail")
    return [path for path in (*PAGES, *own) if _breaks(browser, path)]


def _breaks(browser: TestClient, path: str) -> bool:
    if path == "/readyz":  # 503 is one of its answers
        return browser.get(path).status_code not in {200, 503}
    return browser.get(path).status_code >= 500


@pytest.fixture
def admin(staff: Staff) -> TestClient:
    browser = staff("admin")
    browser._transport.raise_server_exceptions = False  # type: ignore[attr-defined]
    return browser


def test_a_campaign_before_anything_was_done(service: Service, admin: TestClient) -> None:
    assert failing(admin, service) == []


def test_a_campaign_without_registrants(
    service: Service,
    zoom: SimulatedZoom,
    clock: Clock,
    mail_server: MailServer,
    web_server: WebServer,
    admin: TestClient,
) -> None:
    town_of(service, zoom, clock, mail_server, web_server)
    assert failing(admin, service) == []


def test_meetings_that_zoom_has_not_let_us_create_and_that_are_then_called_off(
    service: Service, zoom: SimulatedZoom, clock: Clock, admin: TestClient, campaign_file: Path
) -> None:
    zoom.faults.api("meetingCreate", kind="429-daily", times=None)
    run(service, "create_meetings", "sync_registrants", "send_reminders", "watch")
    assert failing(admin, service) == []
    head, sep, last = campaign_file.read_text("utf-8").rpartition("[[focus_group]]")
    campaign_file.write_text(f"{head}{sep}\ncancelled = true{last}", "utf-8")
    for _ in range(3):
        run(service, "watch", "create_meetings", "send_reminders")
        assert failing(admin, service) == []
        clock.move(minutes=11)
    with service.store.read() as connection:
        (gone,) = connection.execute(select(meetings).where(meetings.c.cancelled_at.is_not(None)))
    assert (gone.zoom_meeting_id, gone.start_at, gone.end_at) == (None, None, None)


# What every meeting with registrants has, and every letter that was sent.
ALWAYS_THERE = {"zoom_meeting_id", "topic", "start_at", "end_at", "sent_at"}


@pytest.mark.parametrize("table", [meetings, registrants, letters, journal], ids=str)
def test_any_column_that_may_be_empty_and_all_of_them(
    town: Town, admin: TestClient, table: Table
) -> None:
    key = table.primary_key.columns[0]
    with town.service.store.read() as connection:
        rows = connection.execute(select(table)).mappings().all()
    lacking = [c.name for c in table.c if c.nullable and c.name not in ALWAYS_THERE]
    broken: dict[str, list[str]] = {}
    for names in (*([name] for name in lacking), lacking):
        with town.service.store.write() as connection:
            connection.execute(update(table).values(dict.fromkeys(names, null())))
        if found := failing(admin, town.service):
            broken[", ".join(names)] = found
        with town.service.store.write() as connection:
            for row in rows:
                connection.execute(update(table).where(key == row[key.name]).values(**row))
    assert broken == {}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("approved", "missing"),
        ("pending", "open"),
        ("denied", "duplicate"),
        ("cancelled", "intended"),
    ],
)
def test_every_state_while_it_comes_after_it_was_and_called_off(
    town: Town, admin: TestClient, clock: Clock, status: str, state: str
) -> None:
    with town.service.store.write() as connection:
        connection.execute(update(registrants).values(status=status, first_name="", last_name=""))
        connection.execute(update(meetings).values(state=state))
    assert failing(admin, town.service) == []
    with town.service.store.write() as connection:
        connection.execute(update(meetings).values(cancelled_at=clock()))
    assert failing(admin, town.service) == []
    clock.to(2021, 4, 1)
    again = admin.get("/")
    assert "annulée" in again.text
    assert failing(admin, town.service) == []
