"""Zoom's lists may lag behind what it told us; what was never told, they make good."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

import jobs
from jobs.clock import run_job
from resonance_zoom.service import Service
from resonance_zoom.store.tables import journal, meetings, registrants
from resonance_zoom.zoom.simulator import SimMeeting, SimRegistrant, SimulatedZoom
from tests.conftest import Clock
from tests.faults.conftest import ZoomCalls
from tests.mail_server import MailServer

ALICE = "alice@example.org"


def run(service: Service, *names: str) -> None:
    for name in names:
        assert run_job(service, jobs.job(name)) is None


def alice(service: Service) -> Any:
    with service.store.read() as connection:
        return connection.execute(select(registrants)).one()


def tell(zoom_calls: ZoomCalls, word: str, who: SimRegistrant) -> None:
    """`registration_<word>`, as of now."""
    status = {"status": "approved"} if word == "created" else {}
    person = {"id": who.id, "email": who.email, "first_name": "Alice", "join_url": who.join_url}
    document = {
        "event": f"meeting.registration_{word}",
        "event_ts": int(zoom_calls.clock.seconds() * 1000),
        "payload": {"object": {"id": zoom_calls.meeting_id, "registrant": person | status}},
    }
    assert zoom_calls.post(json.dumps(document).encode()).status_code == 200


@pytest.fixture
def first(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, zoom_calls: ZoomCalls, clock: Clock
) -> SimRegistrant:
    """Alice's registration, an hour ago, with the confirmation that she got."""
    who = zoom.register(meeting.id, email=ALICE, first_name="Alice")
    tell(zoom_calls, "created", who)
    run(service, "deliver_letters")
    clock.move(hours=1)
    return who


@pytest.fixture
def second(zoom: SimulatedZoom, meeting: SimMeeting, first: SimRegistrant) -> SimRegistrant:
    """She left and came back within a moment: at Zoom, her first link is dead."""
    zoom.cancel(meeting.id, email=ALICE)
    return zoom.register(meeting.id, email=ALICE, first_name="Alice")


def test_who_left_and_came_back_gets_the_new_link_though_only_the_coming_back_was_told(
    service: Service,
    zoom_calls: ZoomCalls,
    first: SimRegistrant,
    second: SimRegistrant,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    woken: list[str] = service.wake.__self__  # type: ignore[attr-defined]
    woken.clear()
    tell(zoom_calls, "created", second)
    assert woken == ["sync_registrants"]  # at once, and not within ten minutes
    for _ in range(3):
        run(service, "sync_registrants", "deliver_letters")
        clock.move(minutes=10)
    one, two = mail_server.to(ALICE)
    assert str(first.join_url) in one.text
    assert str(second.join_url) in two.text
    assert (alice(service).episode, alice(service).status) == (2, "approved")


def test_the_same_if_zoom_gives_the_new_registration_the_old_number(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    zoom_calls: ZoomCalls,
    first: SimRegistrant,
    mail_server: MailServer,
) -> None:
    zoom.faults.same_id_after_cancel = True
    zoom.cancel(meeting.id, email=ALICE)
    second = zoom.register(meeting.id, email=ALICE, first_name="Alice")
    assert second.id == first.id
    tell(zoom_calls, "created", second)
    run(service, "sync_registrants", "deliver_letters")
    _, two = mail_server.to(ALICE)
    assert str(second.join_url) in two.text


def test_two_registrations_that_zoom_holds_side_by_side_send_one_letter(
    service: Service,
    zoom_calls: ZoomCalls,
    first: SimRegistrant,
    second: SimRegistrant,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    first.status = "approved"
    tell(zoom_calls, "created", second)
    for _ in range(3):
        run(service, "sync_registrants", "deliver_letters")
        clock.move(minutes=10)
    assert len(mail_server.to(ALICE)) == 1
    assert (alice(service).episode, alice(service).join_url) == (1, second.join_url)


def test_a_list_that_still_shows_the_registration_before_does_not_bring_its_dead_link_back(
    service: Service,
    zoom_calls: ZoomCalls,
    first: SimRegistrant,
    second: SimRegistrant,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    tell(zoom_calls, "cancelled", first)
    clock.move(seconds=1)
    tell(zoom_calls, "created", second)
    first.status, second.status = "approved", "cancelled"  # as the list still has it
    run(service, "sync_registrants")
    first.status, second.status = "cancelled", "approved"
    run(service, "deliver_letters")
    clock.move(minutes=10)
    run(service, "sync_registrants", "deliver_letters")
    _, two = mail_server.to(ALICE)
    assert str(second.join_url) in two.text
    assert alice(service).join_url == second.join_url


def test_a_list_that_shows_the_older_of_two_for_good_is_believed(
    service: Service,
    zoom_calls: ZoomCalls,
    first: SimRegistrant,
    second: SimRegistrant,
    clock: Clock,
) -> None:
    """What we were told was not so, or was undone without a word."""
    tell(zoom_calls, "cancelled", first)
    clock.move(seconds=1)
    tell(zoom_calls, "created", second)
    first.status, second.status = "approved", "cancelled"
    run(service, "sync_registrants")
    assert alice(service).join_url == second.join_url
    clock.move(minutes=16)
    run(service, "sync_registrants")
    assert alice(service).join_url == first.join_url


def test_a_create_that_nobody_answered_is_not_repeated_while_the_list_may_lag(
    service: Service, zoom: SimulatedZoom, clock: Clock
) -> None:
    zoom.faults.listing_lag = timedelta(minutes=14)
    zoom.faults.api("meetingCreate", kind="timeout-after")
    assert "ZoomUnreachable" in str(run_job(service, jobs.job("create_meetings")))
    assert len(zoom.meetings) == 2
    clock.move(minutes=13)
    run(service, "create_meetings", "create_meetings")
    assert len(zoom.meetings) == 2
    with service.store.read() as connection:
        waits = journal.c.kind == "meeting.create_waits"
        line = connection.execute(select(journal).where(waits)).first()
    assert line is not None
    assert line.message == (
        "Zoom may have created it at 10:00 UTC and not list it yet;"
        " at 10:15 it is created anew unless it is there"
    )
    clock.move(minutes=2)
    woken: list[str] = service.wake.__self__  # type: ignore[attr-defined]
    woken.clear()
    run(service, "watch")
    assert woken == ["create_meetings"]
    run(service, "create_meetings")
    assert len(zoom.meetings) == 2
    with service.store.read() as connection:
        assert set(connection.scalars(select(meetings.c.state))) == {"open"}
    woken.clear()
    run(service, "watch")
    assert woken == []


def test_a_create_that_never_reached_zoom_is_repeated_after_a_quarter_of_an_hour(
    service: Service, zoom: SimulatedZoom, clock: Clock
) -> None:
    zoom.faults.api("meetingCreate", kind="timeout-before")
    assert "ZoomUnreachable" in str(run_job(service, jobs.job("create_meetings")))
    assert len(zoom.meetings) == 1
    clock.move(minutes=15)
    run(service, "create_meetings")
    assert len(zoom.meetings) == 2


def test_a_create_that_zoom_refused_is_repeated_by_the_next_run(
    service: Service, zoom: SimulatedZoom
) -> None:
    zoom.faults.api("meetingCreate", kind="429-daily")
    assert run_job(service, jobs.job("create_meetings")) is not None
    run(service, "create_meetings")
    assert len(zoom.meetings) == 2


def test_of_two_with_one_stamp_the_cancellation_holds_until_zooms_list_says_otherwise(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    zoom_calls: ZoomCalls,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    who = zoom.register(meeting.id, email=ALICE, first_name="Alice")
    tell(zoom_calls, "cancelled", who)
    tell(zoom_calls, "created", who)
    run(service, "sync_registrants", "deliver_letters")
    assert (alice(service).status, mail_server.to(ALICE)) == ("cancelled", [])
    clock.move(minutes=16)  # older than any list may lag
    run(service, "sync_registrants", "deliver_letters")
    assert alice(service).status == "approved"
    assert [one.kind for one in mail_server.to(ALICE)] == ["confirmation"]
