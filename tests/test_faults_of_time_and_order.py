"""Nobody loses a letter and nobody gets one twice when clocks, lists, events and locks misbehave."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import Connection, select, update

import jobs
from jobs.clock import run_job
from resonance_zoom import daemon
from resonance_zoom.errors import DatabaseBusy
from resonance_zoom.service import Service
from resonance_zoom.store.tables import events, journal, letters, registrants
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.protocol import sign
from resonance_zoom.zoom.simulator import SimMeeting, SimRegistrant, SimulatedZoom
from tests.conftest import CAMPAIGN, WEBHOOK_SECRET, Clock
from tests.mail_server import MailServer

ALICE = "alice@example.org"


def run(service: Service, *names: str) -> str | None:
    """Run jobs by name; the error of the last one."""
    fault = None
    for name in names:
        fault = run_job(service, jobs.job(name))
    return fault


def rows(service: Service, table: Any) -> list[Any]:
    with service.store.read() as connection:
        return list(connection.execute(select(table).order_by(table.c.id)))


@pytest.fixture
def meeting(service: Service, zoom: SimulatedZoom) -> SimMeeting:
    """The first group's meeting, on Zoom."""
    assert run(service, "create_meetings") is None
    return min(zoom.meetings.values(), key=lambda one: one.start_time)


class Notifier:
    """Posts Zoom's notifications in any order, signed now."""

    def __init__(self, web: WebServer, meeting: SimMeeting, clock: Clock) -> None:
        self.url = f"http://127.0.0.1:{web.port}/webhooks/zoom"
        self.meeting, self.clock = meeting, clock
        self.began = clock()

    def tell(self, word: str, *, minute: float, who: SimRegistrant) -> int:
        """`registration_<word>` about a registration, as of `minute` after the beginning."""
        at = self.began + timedelta(minutes=minute)
        return self.post(word, int(at.timestamp() * 1000), who)

    def post(self, word: str, event_ts: int, who: SimRegistrant) -> int:
        status = '"status": "approved", ' if word == "created" else ""
        body = (
            f'{{"event": "meeting.registration_{word}", "event_ts": {event_ts}, "payload":'
            f' {{"object": {{"id": {self.meeting.id}, "registrant": {{{status}"id": "{who.id}",'
            f' "email": "{who.email}", "first_name": "Alice", "join_url": "{who.join_url}"}}}}}}}}'
        ).encode()
        stamp = str(int(self.clock().timestamp()))
        return requests.post(
            self.url,
            data=body,
            headers={
                "x-zm-request-timestamp": stamp,
                "x-zm-signature": sign(WEBHOOK_SECRET, stamp, body),
            },
            timeout=5,
        ).status_code


@pytest.fixture
def notifier(web_server: WebServer, meeting: SimMeeting, clock: Clock) -> Notifier:
    return Notifier(web_server, meeting, clock)


# ---- a busy database -----------------------------------------------------------------------------


def test_an_accepted_letter_whose_row_could_not_be_written_is_noted_later_and_not_sent_again(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "sync_registrants")
    real = service.store.write

    @contextmanager
    def busy_once_it_is_accepted() -> Iterator[Connection]:
        if mail_server.kept:
            raise DatabaseBusy("another process holds it", retry_after=1)
        with real() as connection:
            yield connection

    monkeypatch.setattr(service.store, "write", busy_once_it_is_accepted)
    run(service, "deliver_letters")
    monkeypatch.setattr(service.store, "write", real)
    assert [row.state for row in rows(service, letters)] == ["sending"]
    run(service, "deliver_letters")
    (letter,) = rows(service, letters)
    assert (letter.state, letter.detail) == ("sent", "250 OK: queued as 1")
    daemon.start_up(service)
    run(service, "deliver_letters")
    assert len(mail_server.kept) == 1


def test_a_letter_that_was_claimed_by_a_commit_without_an_answer_is_told_and_leaves_once(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "sync_registrants")
    real = service.store.write

    @contextmanager
    def lost_once_it_is_claimed() -> Iterator[Connection]:
        with real() as connection:
            yield connection
        if [row.state for row in rows(service, letters)] == ["sending"]:
            raise DatabaseBusy("the connection broke", retry_after=1)

    monkeypatch.setattr(service.store, "write", lost_once_it_is_claimed)
    run(service, "deliver_letters")
    monkeypatch.setattr(service.store, "write", real)
    assert mail_server.kept == []
    run(service, "deliver_letters")
    assert len(mail_server.kept) == 1
    (line,) = [row for row in rows(service, journal) if row.kind == "letter.deferred"]
    assert line.message == (
        "confirmation: not begun: the answer to the commit of its claim was lost"
    )


# ---- the clock -----------------------------------------------------------------------------------


def test_a_jump_holds_letters_until_zoom_was_asked_after_it(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "watch", "sync_registrants")
    assert service.zoom.clock_skew == timedelta(0)  # of before the jump: no witness of it
    true_time = clock.seconds()
    monkeypatch.setattr(service.guard, "monotonic", lambda: true_time)
    monkeypatch.setattr(zoom, "_clock", lambda: datetime.fromtimestamp(true_time, UTC))
    clock.move(hours=2)
    for _ in range(2):
        run(service, "deliver_letters", "watch")
    assert mail_server.kept == []
    run(service, "sync_registrants", "deliver_letters")  # Zoom's clock does not agree
    assert mail_server.kept == []
    clock.move(hours=-2)
    run(service, "sync_registrants", "deliver_letters")
    assert len(mail_server.kept) == 1


def test_a_jump_that_zoom_confirms_lets_letters_leave_again(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "watch", "sync_registrants")
    stopped = clock.seconds()
    monkeypatch.setattr(service.guard, "monotonic", lambda: stopped)
    clock.move(hours=2)
    woken: list[str] = service.wake.__self__  # type: ignore[attr-defined]
    woken.clear()
    run(service, "watch", "deliver_letters")
    assert mail_server.kept == []
    assert "sync_registrants" in woken  # Zoom is asked at once
    run(service, "sync_registrants", "deliver_letters")
    assert len(mail_server.kept) == 1


def test_while_a_clock_stays_wrong_zoom_is_asked_often_for_ten_minutes_and_then_as_ever(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each minute of a day would be more calls than Zoom grants."""
    run(service, "watch", "sync_registrants")
    monkeypatch.setattr(service.guard, "monotonic", lambda: clock.seconds() + 7200)
    woken: list[str] = service.wake.__self__  # type: ignore[attr-defined]
    woken.clear()
    clock.move(hours=-2)
    run(service, "watch")
    clock.move(minutes=9)
    run(service, "watch")
    assert woken == ["sync_registrants", "sync_registrants"]
    clock.move(minutes=2)
    run(service, "watch")
    assert woken == ["sync_registrants", "sync_registrants"]


def test_a_hold_outlives_a_restart_until_zoom_was_asked(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "watch", "sync_registrants")
    stopped = clock.seconds()
    monkeypatch.setattr(service.guard, "monotonic", lambda: stopped)
    clock.move(hours=2)
    run(service, "watch")
    again = type(service.guard)(store=service.store, now=clock, monotonic=lambda: stopped)
    monkeypatch.setattr(service, "guard", again)
    run(service, "deliver_letters")
    assert mail_server.kept == []
    run(service, "sync_registrants", "deliver_letters")
    assert len(mail_server.kept) == 1


def test_a_clock_that_runs_far_ahead_for_a_while_costs_nobody_a_reminder(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "watch", "sync_registrants", "deliver_letters")
    true_time = clock.seconds()
    monkeypatch.setattr(service.guard, "monotonic", lambda: true_time)
    monkeypatch.setattr(zoom, "_clock", lambda: datetime.fromtimestamp(true_time, UTC))
    clock.move(days=28, hours=21, minutes=30)  # half an hour before the start
    run(service, "send_reminders")
    clock.move(days=-28, hours=-21, minutes=-30)
    monkeypatch.undo()
    for day in (2, 8):
        clock.to(2021, 2, day, 8, 0)
        run(service, "watch", "send_reminders", "deliver_letters")
    kinds = [one.kind for one in mail_server.to(ALICE)]
    assert kinds == ["confirmation", "reminder-7", "reminder-1"]


# ---- registering again ---------------------------------------------------------------------------


def test_who_cancelled_and_came_back_between_two_sweeps_gets_the_new_link(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    old = zoom.register(meeting.id, email=ALICE, first_name="Alice").join_url
    run(service, "sync_registrants", "deliver_letters")
    clock.move(hours=3)
    zoom.cancel(meeting.id, email=ALICE)
    new = zoom.register(meeting.id, email=ALICE, first_name="Alice").join_url
    clock.move(minutes=5)
    for _ in range(3):
        run(service, "sync_registrants", "deliver_letters")
        clock.move(minutes=10)
    first, second = mail_server.to(ALICE)
    assert old is not None
    assert new is not None
    assert old in first.text
    assert new in second.text
    (alice,) = rows(service, registrants)
    assert (alice.status, alice.episode, alice.join_url) == ("approved", 2, new)


def test_a_link_that_zoom_renews_is_taken_over_and_is_no_new_registration(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "sync_registrants", "deliver_letters")
    zoom.faults.new_links_when_moved = True
    zoom.edit_meeting(meeting.id, start_time=meeting.start_time + timedelta(minutes=30))
    clock.move(minutes=10)
    run(service, "sync_registrants", "deliver_letters")
    (alice,) = rows(service, registrants)
    (on_zoom,) = meeting.registrants.values()
    assert (alice.episode, alice.join_url) == (1, on_zoom.join_url)
    assert [one.kind for one in mail_server.to(ALICE)] == ["confirmation"]


@pytest.mark.parametrize("order", [(2, 0, 1), (2, 1, 0)])
def test_what_happened_before_a_registration_and_is_told_after_it_sends_no_second_letter(
    order: tuple[int, ...],
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    notifier: Notifier,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    first = zoom.register(meeting.id, email=ALICE, first_name="Alice")
    zoom.cancel(meeting.id, email=ALICE)
    second = zoom.register(meeting.id, email=ALICE, first_name="Alice")
    told = [("created", 0.0, first), ("cancelled", 5.0, first), ("created", 9.0, second)]
    clock.move(minutes=10)
    for number in order:
        word, minute, who = told[number]
        assert notifier.tell(word, minute=minute, who=who) == 200
        run(service, "deliver_letters")
        clock.move(seconds=1)
    (letter,) = mail_server.to(ALICE)
    assert str(second.join_url) in letter.text
    assert [row.status for row in rows(service, registrants)] == ["approved"]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1)])
def test_a_new_link_is_sent_even_if_its_cancellation_is_told_last(
    order: tuple[int, ...],
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    notifier: Notifier,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    first = zoom.register(meeting.id, email=ALICE, first_name="Alice")
    zoom.cancel(meeting.id, email=ALICE)
    second = zoom.register(meeting.id, email=ALICE, first_name="Alice")
    told = [("created", 0.0, first), ("cancelled", 5.0, first), ("created", 9.0, second)]
    clock.move(minutes=10)
    for number in order:
        word, minute, who = told[number]
        assert notifier.tell(word, minute=minute, who=who) == 200
        run(service, "deliver_letters")
        clock.move(seconds=1)
    one, two = mail_server.to(ALICE)
    assert str(first.join_url) in one.text
    assert str(second.join_url) in two.text


def test_who_comes_back_and_gets_the_same_link_again_is_told_so(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    notifier: Notifier,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    alice = zoom.register(meeting.id, email=ALICE, first_name="Alice")
    for minute, word in ((0, "created"), (5, "cancelled"), (9, "created")):
        clock.time = notifier.began + timedelta(minutes=minute)
        assert notifier.tell(word, minute=minute, who=alice) == 200
        run(service, "deliver_letters")
    assert [one.kind for one in mail_server.to(ALICE)] == ["confirmation", "confirmation"]


# ---- the sweep against late news -----------------------------------------------------------------


def test_a_cancellation_told_late_wins_over_a_list_that_lagged_behind_it(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    notifier: Notifier,
    clock: Clock,
) -> None:
    alice = zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "sync_registrants")
    clock.move(minutes=20)
    alice.first_name = "Alicia"  # the list shows something new of her, and not yet that she left
    run(service, "sync_registrants")
    assert [row.first_name for row in rows(service, registrants)] == ["Alicia"]
    clock.move(minutes=1)
    assert notifier.tell("cancelled", minute=19.5, who=alice) == 200
    assert [row.status for row in rows(service, registrants)] == ["cancelled"]


def test_a_registration_made_after_the_first_list_without_her_is_not_concluded_away(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    notifier: Notifier,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "sync_registrants", "deliver_letters")
    zoom.cancel(meeting.id, email=ALICE)
    clock.move(minutes=20)
    run(service, "sync_registrants")  # she lacks for the first time
    clock.move(minutes=10)
    back = zoom.register(meeting.id, email=ALICE, first_name="Alice")
    zoom.faults.listing_lag = timedelta(minutes=5)
    clock.move(seconds=10)
    run(service, "sync_registrants")  # and for the second: the list lags, the webhook is on its way
    assert notifier.tell("created", minute=30, who=back) == 200
    assert [row.status for row in rows(service, registrants)] == ["approved"]
    run(service, "deliver_letters")
    assert str(back.join_url) in mail_server.to(ALICE)[-1].text
    assert len(mail_server.to(ALICE)) == 2


def test_who_was_concluded_away_wrongly_and_turns_up_again_gets_the_letter_that_was_dropped(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    mail_server.answers["RCPT"] = ["451 4.7.1 greylisted"]
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "sync_registrants", "deliver_letters")
    zoom.faults.listing_lag = timedelta(days=1)  # Zoom's list breaks: it shows nobody
    for _ in range(2):
        clock.move(minutes=20)
        run(service, "sync_registrants")
    run(service, "deliver_letters")
    assert [row.reason for row in rows(service, letters)] == ["cancelled"]
    zoom.faults.listing_lag = timedelta(0)
    clock.move(minutes=20)
    for _ in range(2):
        run(service, "sync_registrants", "deliver_letters")
    assert [row.episode for row in rows(service, registrants)] == [1]
    assert len(mail_server.to(ALICE)) == 1


def test_a_reminder_dropped_while_somebody_seemed_gone_goes_when_they_turn_up_in_time(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "sync_registrants", "deliver_letters")
    clock.to(2021, 2, 8, 8, 0)
    mail_server.answers["RCPT"] = ["451 4.7.1 greylisted"]
    run(service, "send_reminders", "deliver_letters")
    zoom.faults.listing_lag = timedelta(days=60)
    for _ in range(2):
        clock.move(minutes=20)
        run(service, "sync_registrants", "deliver_letters")
    assert [row.reason for row in rows(service, letters)][-1] == "cancelled"
    zoom.faults.listing_lag = timedelta(0)
    for _ in range(2):
        clock.move(minutes=20)
        run(service, "sync_registrants", "send_reminders", "deliver_letters")
    assert [one.kind for one in mail_server.to(ALICE)] == ["confirmation", "reminder-1"]


def test_a_notification_from_the_future_changes_nothing_and_zoom_is_asked(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, notifier: Notifier, clock: Clock
) -> None:
    alice = zoom.register(meeting.id, email=ALICE, first_name="Alice")
    assert notifier.post("cancelled", 999_999_999_999_999, alice) == 200
    assert notifier.tell("cancelled", minute=6, who=alice) == 200
    assert rows(service, events) == []
    assert "sync_registrants" in service.wake.__self__  # type: ignore[attr-defined]
    assert notifier.tell("created", minute=4, who=alice) == 200  # clocks may differ by minutes
    assert len(rows(service, events)) == 1


# ---- reminders -----------------------------------------------------------------------------------


@pytest.fixture
def two_days_before(campaign_file: Path) -> None:
    text = CAMPAIGN.replace(
        "[organiser]", "[reminders]\ndays_before = [7, 2]\nsend_at = 09:00:00\n\n[organiser]"
    )
    campaign_file.write_text(text, encoding="utf-8")
    shipped, own = Path("config/letters"), campaign_file.parent / "letters"
    own.mkdir()
    for template in shipped.glob("reminder-1.*"):
        shutil.copy(template, own / template.name.replace("reminder-1", "reminder-2"))


@pytest.mark.usefixtures("two_days_before")
@pytest.mark.parametrize(("kind", "state"), [("reminder-2", "queued"), ("reminder-7", "in_doubt")])
def test_the_last_reminder_is_the_one_that_goes_once_more_whatever_its_day(
    kind: str, state: str, service: Service, zoom: SimulatedZoom, meeting: SimMeeting
) -> None:
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "sync_registrants", "deliver_letters")
    with service.store.write() as connection:
        connection.execute(update(letters).values(kind=kind, state="sending"))
    daemon.start_up(service)
    assert [row.state for row in rows(service, letters)] == [state]


def test_zoom_is_asked_once_before_a_wave_even_if_nobody_is_owed_a_letter(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, clock: Clock
) -> None:
    clock.to(2021, 2, 2, 8, 0)
    before = len(zoom.calls)
    for _ in range(3):
        run(service, "send_reminders")
        clock.move(minutes=1)
    asked = [call for call in zoom.calls[before:] if call.operation == "meetingRegistrants"]
    assert len(asked) == 3  # approved, pending, denied


def test_a_job_that_asks_zoom_asks_no_more_once_the_service_is_stopping(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting
) -> None:
    service.stopping = lambda: True
    before = len(zoom.calls)
    for name in ("sync_registrants", "create_meetings"):
        assert run(service, name) is None
    assert len(zoom.calls) == before
