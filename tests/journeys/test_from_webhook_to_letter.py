"""Through the doors: Zoom's signed POST, the jobs, a real mail server."""

from collections.abc import Iterator

import pytest
import requests

import jobs
from jobs.clock import run_job
from resonance_zoom.service import Service
from resonance_zoom.store import journal
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.simulator import SimulatedZoom
from tests.conftest import Clock
from tests.mail_server import MailServer


def run(service: Service, name: str) -> None:
    """One run of a job, as the heartbeat runs it; it must go well."""
    job = next(line for line in jobs.SCHEDULE if line.name == name)
    assert run_job(service, job) is None


@pytest.fixture
def web(service: Service) -> Iterator[WebServer]:
    server = WebServer(make_app(service), host="127.0.0.1", port=0)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def meeting_ids(service: Service, web: WebServer, zoom: SimulatedZoom) -> list[int]:
    """Both meetings exist on Zoom, and Zoom calls us."""
    run(service, "create_meetings")
    zoom.subscribe(f"http://127.0.0.1:{web.port}/webhooks/zoom")
    return sorted(zoom.meetings, key=lambda one: zoom.meetings[one].start_time)


def test_who_registers_on_zooms_page_gets_their_own_link(
    service: Service, zoom: SimulatedZoom, meeting_ids: list[int], mail_server: MailServer
) -> None:
    alice = zoom.register(meeting_ids[0], email="Alice@example.org", first_name="Alice")
    assert [delivery.status for delivery in zoom.deliver_due()] == [200]
    assert "deliver_letters" in service.wake.__self__  # type: ignore[attr-defined]
    run(service, "deliver_letters")
    (letter,) = mail_server.to("Alice@example.org")
    assert alice.join_url is not None
    assert alice.join_url in letter.text
    assert (
        "mardi 9 février 2021, de 9\u00a0h\u00a000 à 11\u00a0h\u00a000, heure de Paris"
        in letter.text
    )


def test_a_lost_webhook_is_made_good_by_the_sweep(
    service: Service, zoom: SimulatedZoom, meeting_ids: list[int], mail_server: MailServer
) -> None:
    zoom.faults.lose_next_webhooks(1)
    zoom.register(meeting_ids[0], email="bob@example.org", first_name="Bob")
    zoom.deliver_due()
    run(service, "sync_registrants")
    run(service, "deliver_letters")
    assert len(mail_server.to("bob@example.org")) == 1


def test_who_comes_back_after_a_cancellation_that_was_lost_gets_the_new_link(
    service: Service,
    zoom: SimulatedZoom,
    meeting_ids: list[int],
    mail_server: MailServer,
    clock: Clock,
) -> None:
    for _ in range(2):
        bob = zoom.register(meeting_ids[0], email="bob@example.org", first_name="Bob")
        zoom.deliver_due()
        run(service, "deliver_letters")
        clock.move(hours=1)
        if len(mail_server.kept) == 1:
            zoom.faults.lose_next_webhooks(1)
            zoom.cancel(meeting_ids[0], email="bob@example.org")
    first, second = mail_server.to("bob@example.org")
    assert bob.join_url is not None
    assert bob.join_url not in first.text
    assert bob.join_url in second.text


def test_each_reminder_goes_once_on_its_day_and_not_to_who_cancelled(
    service: Service,
    zoom: SimulatedZoom,
    meeting_ids: list[int],
    mail_server: MailServer,
    clock: Clock,
) -> None:
    for name in ("alice", "bob"):
        zoom.register(meeting_ids[0], email=f"{name}@example.org", first_name=name)
    zoom.deliver_due()
    run(service, "deliver_letters")
    clock.move(days=1)
    zoom.cancel(meeting_ids[0], email="bob@example.org")
    zoom.deliver_due()
    for day, hour in ((2, 7), (2, 8), (2, 9), (8, 7), (8, 8), (8, 9)):
        clock.to(2021, 2, day, hour, 0)
        for job in ("send_reminders", "deliver_letters", "send_reminders", "deliver_letters"):
            run(service, job)
    assert len(mail_server.to("alice@example.org")) == 3
    assert len(mail_server.to("bob@example.org")) == 1


def test_an_unsigned_notification_is_refused_and_leaves_nothing(
    service: Service, web: WebServer
) -> None:
    answer = requests.post(
        f"http://127.0.0.1:{web.port}/webhooks/zoom", data=b'{"event":"x"}', timeout=5
    )
    assert answer.status_code == 401
    with service.store.read() as connection:
        assert journal.recall(connection, "nothing") is None
