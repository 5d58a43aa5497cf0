"""A letter that waited over a move speaks of the new date, and the next move is told from there."""

from datetime import timedelta

import pytest

from resonance_zoom.service import Service
from resonance_zoom.store.tables import letters
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.conftest import Clock
from tests.mail_server import MailServer
from tests.test_moves import rows, run

BOB = "bob@example.org"


@pytest.fixture
def meeting(
    service: Service, zoom: SimulatedZoom, clock: Clock, mail_server: MailServer
) -> SimMeeting:
    """Bob's confirmation was put off by his mail server, and the meeting was moved meanwhile."""
    run(service, "create_meetings")
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    zoom.register(meeting.id, email=BOB, first_name="Bob")
    mail_server.answers["RCPT"] = ["451 4.7.1 greylisted"]
    run(service, "sync_registrants", "deliver_letters")
    zoom.edit_meeting(meeting.id, start_time=meeting.start_time.replace(day=12))
    run(service, "create_meetings")
    clock.move(minutes=11)
    run(service, "deliver_letters")
    return meeting


def test_the_letter_that_waited_says_the_new_date_and_no_second_one_does(
    service: Service, meeting: SimMeeting, mail_server: MailServer
) -> None:
    (letter,) = mail_server.to(BOB)
    assert (letter.kind, "vendredi 12 février 2021" in letter.text) == ("confirmation", True)
    assert [f"{row.start_at:%Y-%m-%d}" for row in rows(service, letters)] == ["2021-02-12"]


def test_when_the_move_is_taken_back_who_was_told_the_new_date_is_told_the_old_one(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    zoom.edit_meeting(meeting.id, start_time=meeting.start_time - timedelta(days=3))
    run(service, "create_meetings")
    clock.move(minutes=11)
    run(service, "deliver_letters")
    _, letter = mail_server.to(BOB)
    assert letter.kind == "moved"
    assert "vendredi 12 février 2021" in letter.text
    assert "mardi 9 février 2021" in letter.text


def test_a_letter_that_may_have_arrived_before_a_move_comes_under_another_id_after_it(
    service: Service, zoom: SimulatedZoom, clock: Clock, mail_server: MailServer
) -> None:
    """A mail program that has seen the id would hide the new date."""
    run(service, "create_meetings")
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    zoom.register(meeting.id, email=BOB, first_name="Bob")
    # The first may have been accepted; the second try is put off.
    mail_server.answers["DATA"] = ["beg your pardon?", "451 4.7.1 later"]
    run(service, "sync_registrants", "deliver_letters")
    ((state, before),) = [(row.state, row.message_id) for row in rows(service, letters)]
    assert (state, mail_server.to(BOB)) == ("queued", [])
    zoom.edit_meeting(meeting.id, start_time=meeting.start_time.replace(day=12))
    run(service, "create_meetings")
    clock.move(minutes=11)
    run(service, "deliver_letters")
    (letter,) = mail_server.to(BOB)
    assert "vendredi 12 février 2021" in letter.text
    assert letter.message["Message-ID"] not in {None, before}
