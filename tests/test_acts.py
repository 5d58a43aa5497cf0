"""What staff and registrants may do: each act does what it says, once, and is in the journal."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import jobs
from jobs.clock import run_job
from resonance_zoom import acts, privacy
from resonance_zoom.acts import Desk
from resonance_zoom.errors import (
    NotFound,
    ResonanceError,
    ZoomError,
    ZoomNotFound,
    ZoomRefused,
    ZoomScopeMissing,
)
from resonance_zoom.service import Service
from resonance_zoom.store.tables import events, journal, letters, registrants
from resonance_zoom.zoom.client import ZoomClient
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.conftest import Clock
from tests.mail_server import MailServer


def run(service: Service, *names: str) -> None:
    for name in names:
        assert run_job(service, next(job for job in jobs.SCHEDULE if job.name == name)) is None


def rows(service: Service, table: Any) -> list[Any]:
    with service.store.read() as connection:
        return list(connection.execute(select(table)))


def desk(service: Service) -> Desk:
    return Desk(service.store, service.campaign, service.now(), "Claire")


@pytest.fixture
def meeting(service: Service, zoom: SimulatedZoom) -> SimMeeting:
    """Alice is registered in the first group and has her confirmation."""
    run(service, "create_meetings")
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    zoom.register(meeting.id, email="alice@example.org", first_name="Alice", last_name="Martin")
    run(service, "sync_registrants", "deliver_letters")
    return meeting


@pytest.fixture
def alice(service: Service, meeting: SimMeeting) -> int:
    (row,) = rows(service, registrants)
    return int(row.id)


def test_giving_up_a_place_frees_it_at_zoom_and_sends_a_receipt_and_nothing_more(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    alice: int,
    mail_server: MailServer,
    clock: Clock,
) -> None:
    assert acts.give_up_place(desk(service), service.zoom, alice, receipt=True)
    run(service, "deliver_letters")
    assert [one.status for one in meeting.registrants.values()] in ([], ["deleted"])
    assert [one.kind for one in mail_server.to("alice@example.org")] == [
        "confirmation",
        "withdrawn",
    ]
    clock.to(2021, 2, 8, 9)
    run(service, "sync_registrants", "send_reminders", "deliver_letters")
    assert len(mail_server.to("alice@example.org")) == 2
    (line,) = [row for row in rows(service, journal) if row.kind == "staff.cancel"]
    assert line.data["by"] == "Claire"


def test_who_gave_up_may_come_back_and_gets_a_new_link(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    alice: int,
    mail_server: MailServer,
    clock: Clock,
) -> None:
    acts.give_up_place(desk(service), service.zoom, alice, receipt=True)
    clock.move(minutes=1)
    zoom.register(meeting.id, email="alice@example.org", first_name="Alice")
    run(service, "sync_registrants", "deliver_letters")
    kinds = [one.kind for one in mail_server.to("alice@example.org")]
    assert kinds == ["confirmation", "confirmation"]  # no receipt to who holds a place again


def test_when_zoom_cannot_be_told_the_place_is_kept(
    service: Service, zoom: SimulatedZoom, alice: int
) -> None:
    zoom.faults.api("meetingregistrantdelete", kind="429-daily")
    with pytest.raises(ZoomError):
        acts.give_up_place(desk(service), service.zoom, alice, receipt=True)
    assert [row.status for row in rows(service, registrants)] == ["approved"]
    assert [row.kind for row in rows(service, letters)] == ["confirmation"]


def test_a_place_that_zoom_knows_no_more_is_given_up_here(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    alice: int,
    mail_server: MailServer,
) -> None:
    """Deleted on zoom.us a moment ago: no notification tells of it, and Zoom answers 400."""
    zoom.delete_registrant(meeting.registrants[rows(service, registrants)[0].registrant_id])
    assert not acts.give_up_place(desk(service), service.zoom, alice, receipt=True)
    assert [row.status for row in rows(service, registrants)] == ["cancelled"]
    run(service, "deliver_letters", "sync_registrants")
    assert [one.kind for one in mail_server.to("alice@example.org")] == [
        "confirmation",
        "withdrawn",
    ]
    assert [row.status for row in rows(service, registrants)] == ["cancelled"]


class Stubborn:
    """Zoom, that refuses every deletion with the words that it has for much else, too."""

    def __init__(self, zoom: ZoomClient) -> None:
        self.add_registrant, self.registrant_pages = zoom.add_registrant, zoom.registrant_pages

    def delete_registrant(self, _meeting_id: int, _registrant_id: str) -> None:
        raise ZoomRefused("Zoom answered 400, code 300: Validation Failed.", status=400, code=300)


def test_a_place_that_zoom_refuses_to_free_and_still_lists_is_kept(
    service: Service, alice: int
) -> None:
    with pytest.raises(ZoomRefused):
        acts.give_up_place(desk(service), Stubborn(service.zoom), alice, receipt=True)
    assert [row.status for row in rows(service, registrants)] == ["approved"]


def test_a_place_that_zoom_refuses_to_free_and_cannot_list_is_kept(
    service: Service, zoom: SimulatedZoom, alice: int
) -> None:
    zoom.faults.api("meetingRegistrants", kind="429-daily")
    with pytest.raises(ZoomError):
        acts.give_up_place(desk(service), Stubborn(service.zoom), alice, receipt=True)
    assert [row.status for row in rows(service, registrants)] == ["approved"]


def test_a_place_cannot_be_given_up_twice(service: Service, alice: int) -> None:
    acts.give_up_place(desk(service), service.zoom, alice, receipt=False)
    with pytest.raises(NotFound):
        acts.give_up_place(desk(service), service.zoom, alice, receipt=False)


def test_a_corrected_address_gets_a_link_and_the_wrong_one_nothing_more(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    alice: int,
    mail_server: MailServer,
    clock: Clock,
) -> None:
    acts.correct_address(desk(service), service.zoom, alice, "alice.martin@example.org")
    run(service, "sync_registrants", "deliver_letters")
    (letter,) = mail_server.to("alice.martin@example.org")
    assert letter.kind == "confirmation"
    assert "Alice" in letter.text
    clock.to(2021, 2, 8, 9)
    run(service, "sync_registrants", "send_reminders", "deliver_letters")
    assert len(mail_server.to("alice@example.org")) == 1
    assert {row.email: row.status for row in rows(service, registrants)} == {
        "alice@example.org": "cancelled",
        "alice.martin@example.org": "approved",
    }


def test_an_address_in_use_is_refused(service: Service, zoom: SimulatedZoom, alice: int) -> None:
    with pytest.raises(ResonanceError, match="known already"):
        acts.correct_address(desk(service), service.zoom, alice, "ALICE@example.org")


def test_the_address_of_somebody_registered_is_refused_until_they_leave(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, alice: int
) -> None:
    zoom.register(meeting.id, email="bob@example.org", first_name="Bob")
    run(service, "sync_registrants")
    with pytest.raises(ResonanceError, match="somebody is registered under this address"):
        acts.correct_address(desk(service), service.zoom, alice, "Bob@example.org")
    (bob,) = [row for row in rows(service, registrants) if row.id != alice]
    acts.give_up_place(desk(service), service.zoom, bob.id, receipt=False)
    assert acts.correct_address(desk(service), service.zoom, alice, "Bob@example.org")


def test_a_meeting_called_off_is_told_also_to_who_waits_for_approval(
    service: Service, alice: int, campaign_file: Path, mail_server: MailServer, clock: Clock
) -> None:
    with service.store.write() as connection:
        connection.execute(registrants.update().values(status="pending"))
    text = campaign_file.read_text("utf-8")
    campaign_file.write_text(
        text.replace('slug = "teletravail"', 'slug = "teletravail"\ncancelled = true'), "utf-8"
    )
    run(service, "watch", "create_meetings")
    clock.move(minutes=11)
    run(service, "create_meetings", "deliver_letters")
    kinds = [one.kind for one in mail_server.to("alice@example.org")]
    assert kinds == ["confirmation", "cancelled"]


def test_erasing_leaves_no_byte_of_a_person_but_the_counts(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, alice: int, mail_server: MailServer
) -> None:
    assert privacy.erase(desk(service), service.zoom, alice) == 1
    run(service, "sync_registrants", "deliver_letters")
    assert len(rows(service, registrants)) == 1
    assert rows(service, events) == []
    assert [one.kind for one in mail_server.to("alice@example.org")] == ["confirmation"]
    with service.store.write() as connection:
        connection.exec_driver_sql("SELECT 1")
    with service.store.read() as connection:
        dump = repr([connection.execute(select(table)).all() for table in (registrants, letters, journal)])  # fmt: skip
    for canary in ("alice", "Alice", "Martin", "tk="):
        assert canary not in dump


def test_what_zoom_could_not_erase_is_still_known_here(
    service: Service, zoom: SimulatedZoom, alice: int
) -> None:
    zoom.faults.api("meetingregistrantdelete", kind="429-daily")
    with pytest.raises(ZoomError):
        privacy.erase(desk(service), service.zoom, alice)
    assert [row.email for row in rows(service, registrants)] == ["alice@example.org"]


def test_a_sent_letter_goes_again_as_a_copy_and_only_while_it_helps(
    service: Service, alice: int, mail_server: MailServer, clock: Clock
) -> None:
    (letter,) = rows(service, letters)
    again = acts.resend(desk(service), letter.id)
    assert again != letter.id
    with pytest.raises(ResonanceError, match="queued already"):
        acts.resend(desk(service), again)
    run(service, "deliver_letters")
    assert len(mail_server.to("alice@example.org")) == 2
    clock.to(2021, 2, 9, 10)
    with pytest.raises(ResonanceError, match="over"):
        acts.resend(desk(service), letter.id)


def test_a_receipt_goes_again_to_who_has_left_and_a_confirmation_does_not(
    service: Service, alice: int, mail_server: MailServer
) -> None:
    acts.give_up_place(desk(service), service.zoom, alice, receipt=True)
    run(service, "deliver_letters")
    confirmation, receipt = rows(service, letters)
    with pytest.raises(ResonanceError, match="the registration is cancelled"):
        acts.resend(desk(service), confirmation.id)
    acts.resend(desk(service), receipt.id)
    run(service, "deliver_letters")
    kinds = [one.kind for one in mail_server.to("alice@example.org")]
    assert kinds == ["confirmation", "withdrawn", "withdrawn"]


def test_a_letter_taken_out_does_not_go(
    service: Service, alice: int, mail_server: MailServer
) -> None:
    (letter,) = rows(service, letters)
    again = acts.resend(desk(service), letter.id)
    acts.drop_letter(desk(service), again)
    run(service, "deliver_letters")
    assert len(mail_server.to("alice@example.org")) == 1
    with pytest.raises(ResonanceError, match="nothing to take out"):
        acts.drop_letter(desk(service), letter.id)


def test_a_pause_holds_everything_until_the_end_of_it(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, alice: int, mail_server: MailServer
) -> None:
    acts.pause(desk(service))
    zoom.register(meeting.id, email="bob@example.org", first_name="Bob")
    run(service, "sync_registrants", "deliver_letters")
    assert mail_server.to("bob@example.org") == []
    acts.resume(desk(service))
    run(service, "deliver_letters")
    assert len(mail_server.to("bob@example.org")) == 1


def test_what_does_not_exist_is_said_so(service: Service, alice: int) -> None:
    for act in (acts.resend, acts.drop_letter):
        with pytest.raises(NotFound):
            act(desk(service), 999)
    with pytest.raises(NotFound):
        acts.give_up_place(desk(service), service.zoom, 999, receipt=True)


def test_the_one_scope_that_only_correcting_needs_is_named_when_it_lacks(
    service: Service, zoom: SimulatedZoom, alice: int
) -> None:
    lacks = {"meeting:write:registrant:admin", "meeting:write:admin"}
    zoom.scopes = zoom.scopes - lacks
    zoom.faults.expire_tokens()  # the next token lacks it
    with pytest.raises(ZoomScopeMissing) as refusal:
        acts.correct_address(desk(service), service.zoom, alice, "other@example.org")
    assert "meeting:write:registrant:admin" in refusal.value.remedy


def test_who_comes_second_gives_up_no_place_again(
    service: Service, zoom: SimulatedZoom, alice: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pressed at once: the first is done while Zoom is still answering the second."""
    delete = ZoomClient.delete_registrant

    def slow(client: ZoomClient, meeting: int, registrant: str) -> None:
        with monkeypatch.context() as fast:
            fast.setattr(ZoomClient, "delete_registrant", delete)
            acts.give_up_place(desk(service), service.zoom, alice, receipt=True)
        raise ZoomNotFound("no such registrant", status=404)

    monkeypatch.setattr(ZoomClient, "delete_registrant", slow)
    with pytest.raises(NotFound, match="given up meanwhile"):
        acts.give_up_place(desk(service), service.zoom, alice, receipt=True)
    assert [row.kind for row in rows(service, journal) if row.kind.startswith("staff.")] == [
        "staff.cancel"
    ]
