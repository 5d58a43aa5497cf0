"""A letter leaves when it should, waits when it must, and its row says which, as the relay does."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

import jobs
from jobs.clock import run_job
from resonance_zoom import daemon, sweep
from resonance_zoom.mail.postman import make_postman
from resonance_zoom.service import Service
from resonance_zoom.store import erasure, journal, outbox
from resonance_zoom.store.tables import journal as lines
from resonance_zoom.store.tables import letters, meetings, registrants
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.conftest import Clock, free_port
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
        return list(connection.execute(select(table)))


def change(service: Service, table: Any, **values: Any) -> None:
    with service.store.write() as connection:
        connection.execute(update(table).values(**values))


@pytest.fixture
def meeting(service: Service, zoom: SimulatedZoom) -> SimMeeting:
    """The first group's meeting on Zoom, with Alice, whose confirmation is owed."""
    assert run(service, "create_meetings") is None
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    run(service, "sync_registrants")
    return meeting


# ---- the relay -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("meeting")
def test_while_the_relay_is_down_nothing_is_begun_and_it_is_tried_after_1_2_5_and_10_minutes(
    service: Service, clock: Clock, mail_server: MailServer
) -> None:
    mail_server.answers["MAIL"] = [
        "550 5.7.1 not this sender"
    ] * 10  # each is tried on a new connection
    waited = []
    for minutes in (1, 2, 5, 10, 10):
        assert "MailUnreachable" in str(run(service, "deliver_letters"))
        left = len(mail_server.answers["MAIL"])
        clock.move(minutes=minutes, seconds=-1)
        assert run(service, "deliver_letters") is None
        waited.append(len(mail_server.answers["MAIL"]) == left)
        clock.move(seconds=1)
        change(service, letters, ready_at=clock())
    assert waited == [True] * 5
    assert run(service, "deliver_letters") is None
    assert len(mail_server.kept) == 1
    kinds = [row.kind for row in rows(service, lines)]
    assert (kinds.count("mail.unreachable"), kinds.count("mail.reachable")) == (5, 1)


@pytest.mark.usefixtures("meeting")
def test_an_answer_that_was_lost_lets_a_confirmation_go_once_more_and_not_twice(
    service: Service, mail_server: MailServer
) -> None:
    mail_server.answers["DATA"] = ["beg your pardon?", "beg your pardon?"]
    run(service, "deliver_letters")
    (letter,) = rows(service, letters)
    assert (letter.state, letter.attempts, letter.recoveries) == ("in_doubt", 2, 1)
    kinds = [row.kind for row in rows(service, lines)]
    assert kinds.count("letter.in_doubt") == 2


@pytest.mark.usefixtures("meeting")
def test_a_relay_that_does_not_answer_at_all_costs_a_letter_no_attempt(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = make_postman(f"smtp://127.0.0.1:{free_port()}", Path("unused"))
    monkeypatch.setattr(service.delivery, "postmen", [nobody])
    assert "MailUnreachable" in str(run(service, "deliver_letters"))
    assert [(row.state, row.attempts) for row in rows(service, letters)] == [("queued", 0)]


@pytest.mark.usefixtures("meeting")
def test_a_relay_that_is_down_for_days_costs_no_letter(
    service: Service, clock: Clock, mail_server: MailServer
) -> None:
    for _ in range(15):
        mail_server.answers["MAIL"] = ["550 5.7.1 not this sender"] * 2
        assert "MailUnreachable" in str(run(service, "deliver_letters"))
        clock.move(hours=3)
    mail_server.answers.clear()
    run(service, "deliver_letters")
    assert [(row.state, row.attempts) for row in rows(service, letters)] == [("sent", 16)]


@pytest.mark.usefixtures("meeting")
def test_the_twelfth_time_that_the_server_asks_to_wait_is_the_last(
    service: Service, mail_server: MailServer, clock: Clock
) -> None:
    mail_server.answers["RCPT"] = ["451 4.7.1 greylisted"] * 12
    for attempts in range(1, 13):
        run(service, "deliver_letters")
        (letter,) = rows(service, letters)
        assert (letter.attempts, letter.state) == (
            attempts,
            "failed" if attempts == 12 else "queued",
        )
        clock.move(hours=1)
    assert "after 12 attempts: RCPT: 451 4.7.1 greylisted" in letter.detail


@pytest.mark.usefixtures("meeting")
def test_a_stop_or_a_pause_takes_effect_after_the_letter_at_hand(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    mail_server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("bob", "carla"):
        zoom.register(meeting.id, email=f"{name}@example.org", first_name=name)
    run(service, "sync_registrants")
    service.stopping = lambda: bool(mail_server.kept)  # asked to stop during the first one
    run(service, "deliver_letters")
    assert len(mail_server.kept) == 1
    service.stopping = lambda: False
    service.close_connections()
    accept = type(mail_server).handle_DATA

    async def hold_then_accept(*args: Any) -> str:
        with service.store.write() as connection:
            journal.remember(connection, journal.HELD, "the clock jumped")
        return await accept(mail_server, *args)

    monkeypatch.setattr(mail_server, "handle_DATA", hold_then_accept)  # one serves all tests
    run(service, "deliver_letters")
    assert len(mail_server.kept) == 2


# ---- the last look -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "values", "reason"),
    [
        (registrants, {"join_url": None}, "no_join_url"),
        (registrants, {"absent_since": datetime(2021, 1, 11, 9, tzinfo=UTC)}, "absent"),
        (meetings, {"state": "missing"}, "meeting_missing"),
    ],
    ids=["no-link", "not-in-the-last-list", "meeting-missing"],
)
@pytest.mark.usefixtures("meeting")
def test_a_letter_waits_and_says_why_and_leaves_when_the_reason_is_gone(
    table: Any,
    values: dict[str, Any],
    reason: str,
    service: Service,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    before = {name: getattr(rows(service, table)[0], name) for name in values}
    change(service, table, **values)
    for _ in range(2):
        run(service, "deliver_letters")
        clock.move(minutes=5)
    (letter,) = rows(service, letters)
    assert (letter.state, letter.reason, letter.attempts) == ("queued", reason, 0)
    assert [row.kind for row in rows(service, lines)].count("letter.waits") == 1
    change(service, table, **before)
    run(service, "deliver_letters")
    assert len(mail_server.kept) == 1


@pytest.mark.usefixtures("meeting")
def test_a_confirmation_of_an_earlier_registration_gives_way_to_the_newer_one(
    service: Service, mail_server: MailServer
) -> None:
    change(service, registrants, episode=2)
    run(service, "deliver_letters")
    (letter,) = rows(service, letters)
    assert (letter.state, letter.reason) == ("dropped", "registered_again")
    assert mail_server.kept == []


@pytest.mark.usefixtures("meeting")
@pytest.mark.parametrize(
    ("moment", "kinds"),
    [
        (datetime(2021, 2, 7, 7, 59, 59, tzinfo=UTC), ["confirmation", "reminder-7"]),
        (datetime(2021, 2, 7, 8, 0, 0, tzinfo=UTC), ["confirmation"]),
        (datetime(2021, 2, 9, 6, 59, 59, tzinfo=UTC), ["confirmation", "reminder-1"]),
        (datetime(2021, 2, 9, 7, 0, 0, tzinfo=UTC), ["confirmation"]),
        (datetime(2021, 2, 9, 9, 59, 59, tzinfo=UTC), ["confirmation"]),
        (datetime(2021, 2, 9, 10, 0, 0, tzinfo=UTC), []),
    ],
)
def test_each_letter_is_worth_sending_until_its_hour_and_not_a_second_longer(
    moment: datetime, kinds: list[str], service: Service, clock: Clock, mail_server: MailServer
) -> None:
    with service.store.write() as connection:
        journal.remember(connection, journal.PAUSED, "Claire")
    for day in (2, 8):
        if moment.day >= day:
            clock.to(2021, 2, day, 8, 0)
            run(service, "send_reminders")
    with service.store.write() as connection:
        journal.forget(connection, journal.PAUSED)
    clock.time = moment
    run(service, "deliver_letters")
    assert sorted(one.kind for one in mail_server.to(ALICE)) == kinds


def test_nobody_is_owed_a_confirmation_of_a_meeting_that_is_over(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, clock: Clock
) -> None:
    clock.to(2021, 2, 9, 9, 59, 59)
    late = zoom.register(meeting.id, email="late@example.org", first_name="Late")
    clock.to(2021, 2, 9, 10, 0, 0)
    with service.store.read() as connection:
        row = connection.execute(
            select(meetings).where(meetings.c.zoom_meeting_id == meeting.id)
        ).one()
    sweep.sweep_meeting(service.store, service.zoom, row, service.campaign, clock)
    assert late.email in [row.email for row in rows(service, registrants)]
    assert len(rows(service, letters)) == 1


def test_who_was_approved_after_a_reminder_fell_due_is_not_owed_it(
    service: Service, meeting: SimMeeting, clock: Clock
) -> None:
    change(service, registrants, approved_at=datetime(2021, 2, 8, 8, 0, 1, tzinfo=UTC))
    clock.to(2021, 2, 8, 8, 1)
    run(service, "send_reminders")
    assert [row.kind for row in rows(service, letters)] == ["confirmation"]
    change(service, registrants, approved_at=datetime(2021, 2, 8, 8, 0, 0, tzinfo=UTC))
    clock.move(minutes=59)
    run(service, "send_reminders")  # nothing was told of her since: she is not looked at
    assert [row.kind for row in rows(service, letters)] == ["confirmation"]
    clock.move(minutes=1)
    run(service, "send_reminders")  # once an hour everyone is
    assert [row.kind for row in rows(service, letters)] == ["confirmation", "reminder-1"]


def reminded(service: Service) -> list[str]:
    """Who is owed the reminder of the day before."""
    by_id = {row.id: row.email for row in rows(service, registrants)}
    return [by_id[row.registrant] for row in rows(service, letters) if row.kind == "reminder-1"]


def test_who_is_told_of_after_the_wave_and_had_registered_before_is_reminded_at_the_next_tick(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, clock: Clock
) -> None:
    clock.to(2021, 2, 8, 8, 0)
    run(service, "send_reminders")
    assert reminded(service) == [ALICE]
    clock.to(2021, 2, 8, 7, 59)
    zoom.register(meeting.id, email="bob@example.org", first_name="Bob")
    clock.to(2021, 2, 8, 8, 1)
    run(service, "sync_registrants", "send_reminders")
    assert reminded(service) == [ALICE, "bob@example.org"]


def test_a_number_that_comes_again_after_an_erasure_hides_nobody(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, clock: Clock
) -> None:
    """SQLite gives the number of a deleted last row to the next one."""
    zoom.register(meeting.id, email="bob@example.org", first_name="Bob")
    run(service, "sync_registrants")
    clock.to(2021, 2, 8, 8, 0)
    run(service, "send_reminders")
    zoom.cancel(meeting.id, email="bob@example.org")
    with service.store.write() as connection:
        (bob,) = connection.execute(
            select(registrants).where(registrants.c.email == "bob@example.org")
        )
        erasure.forget(connection, bob)
    clock.to(2021, 2, 8, 7, 59)
    zoom.register(meeting.id, email="carol@example.org", first_name="Carol")
    clock.to(2021, 2, 8, 8, 1)
    run(service, "sync_registrants", "send_reminders")
    assert reminded(service) == [ALICE, "", "carol@example.org"]


def test_zooms_lists_are_looked_at_before_a_wave_so_that_none_goes_to_who_has_left(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, clock: Clock
) -> None:
    zoom.faults.webhooks_silent = True
    zoom.deny(meeting.id, email=ALICE)
    zoom.register(meeting.id, email="bob@example.org", first_name="Bob")
    clock.to(2021, 2, 8, 8, 0)
    run(service, "send_reminders")
    assert reminded(service) == ["bob@example.org"]


# ---- the sweep -----------------------------------------------------------------------------------


def test_the_newest_of_two_registrations_of_one_person_speaks_and_sends_one_letter(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    run(service, "deliver_letters")
    clock.move(hours=1)
    zoom.register(meeting.id, email="second@example.org", first_name="Alice")
    first, second = meeting.registrants.values()
    second.email = "ALICE@example.org"  # Zoom holds her twice, as some accounts do
    run(service, "sync_registrants", "deliver_letters")
    (alice,) = rows(service, registrants)
    assert (alice.join_url, alice.episode) == (second.join_url, 1)
    assert first.status == "approved"
    assert len(mail_server.kept) == 1


def test_a_person_on_the_approved_list_is_not_spoken_for_by_another_list(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, clock: Clock
) -> None:
    clock.move(hours=1)
    zoom.register(meeting.id, email="second@example.org", first_name="Alice")
    _, second = meeting.registrants.values()
    zoom.deny(meeting.id, email="second@example.org")
    second.email = ALICE
    clock.move(hours=1)
    run(service, "sync_registrants")
    assert [row.status for row in rows(service, registrants)] == ["approved"]


def test_a_registration_younger_than_fifteen_minutes_is_not_missed_by_a_list_that_lags(
    service: Service, meeting: SimMeeting, zoom: SimulatedZoom, clock: Clock
) -> None:
    zoom.faults.listing_lag = timedelta(hours=1)
    clock.move(minutes=14, seconds=59)
    run(service, "sync_registrants")
    assert rows(service, registrants)[0].absent_since is None
    clock.move(seconds=2)
    run(service, "sync_registrants")
    assert rows(service, registrants)[0].absent_since == clock()


def test_a_list_that_lags_behind_a_withdrawal_brings_nobody_back(
    service: Service, meeting: SimMeeting, clock: Clock
) -> None:
    ts = int(clock.seconds() * 1000)
    change(service, registrants, status="cancelled", decided_ts=ts)
    clock.move(minutes=14)
    run(service, "sync_registrants")
    assert rows(service, registrants)[0].status == "cancelled"
    clock.move(minutes=2)
    run(service, "sync_registrants")
    assert rows(service, registrants)[0].status == "approved"


def test_many_gone_are_concluded_once_somebody_agrees(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, clock: Clock
) -> None:
    for n in range(4):
        zoom.register(meeting.id, email=f"p{n}@example.org", first_name="P")
    run(service, "sync_registrants")
    for who in list(meeting.registrants.values()):
        zoom.cancel(meeting.id, email=who.email)
    with service.store.read() as connection:
        row = connection.execute(
            select(meetings).where(meetings.c.zoom_meeting_id == meeting.id)
        ).one()
    for _ in range(2):
        clock.move(minutes=20)
        found = sweep.sweep_meeting(
            service.store, service.zoom, row, service.campaign, clock, gone_is_agreed=True
        )
    assert found.gone == 5
    assert {row.status for row in rows(service, registrants)} == {"cancelled"}


# ---- after a crash -------------------------------------------------------------------------------


def test_only_an_outage_within_the_period_is_given_as_the_reason(service: Service) -> None:
    at = datetime(2021, 1, 20, 8, tzinfo=UTC)
    with service.store.write() as connection:
        journal.note(
            connection,
            at,
            "service.started",
            "started",
            down_from=at - timedelta(hours=1),
            down_to=at,
        )
        hour = timedelta(hours=1)
        assert journal.outage_within(connection, at - 3 * hour, at - 2 * hour) is None
        assert journal.outage_within(connection, at + hour, at + 2 * hour) is None
        assert journal.outage_within(connection, at - hour / 2, at + hour) == (at - hour, at)


@pytest.mark.usefixtures("meeting")
def test_a_start_settles_every_letter_that_was_under_way_once(
    service: Service, mail_server: MailServer
) -> None:
    change(service, letters, state="sending", message_id="<a@example.org>")
    daemon.start_up(service)
    run(service, "deliver_letters")
    assert len(mail_server.kept) == 1
    change(service, letters, state="sending")
    service.store.close()  # gives the lock back, as the end of a process does
    daemon.start_up(service)
    run(service, "deliver_letters")
    assert len(mail_server.kept) == 1
    with service.store.read() as connection:
        assert outbox.found_sending(connection) == []


def test_a_reminder_that_waited_does_not_go_to_who_left_and_came_back_since_it_fell_due(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    run(service, "deliver_letters")
    clock.move(days=23)  # 3 February 2021: the early reminder fell due the day before
    run(service, "sync_registrants", "send_reminders")
    clock.move(minutes=30)
    zoom.cancel(meeting.id, email=ALICE)
    zoom.register(meeting.id, email=ALICE, first_name="Alice")
    zoom.deliver_due()
    run(service, "sync_registrants", "deliver_letters")
    assert [letter.message["X-Letter"] for letter in mail_server.to(ALICE)] == ["confirmation"] * 2
    reminders = [row for row in rows(service, letters) if row.kind == "reminder-7"]
    assert [(row.state, row.reason) for row in reminders] == [("dropped", "registered_again")]
