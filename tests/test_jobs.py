"""What each job does and does not do, run as the heartbeat runs it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

import jobs
from jobs.clock import next_firing, run_job, triggers
from resonance_zoom import daemon, reports
from resonance_zoom.service import Service
from resonance_zoom.settings import Secret, Settings
from resonance_zoom.store import journal, outbox
from resonance_zoom.store.tables import letters, meetings, registrants, runs
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.conftest import Clock
from tests.mail_server import MailServer


def run(service: Service, *names: str) -> str | None:
    """Run jobs by name; the error of the last one."""
    fault = None
    for name in names:
        fault = run_job(service, next(job for job in jobs.SCHEDULE if job.name == name))
    return fault


def letter_states(service: Service) -> list[tuple[str, str, str | None]]:
    with service.store.read() as connection:
        return [
            (one["kind"], one["state"], one["reason"]) for one in reports.letter_list(connection)
        ]


def rows(service: Service, table: Any) -> list[Any]:
    with service.store.read() as connection:
        return list(connection.execute(select(table)))


@pytest.fixture
def meeting(service: Service, zoom: SimulatedZoom) -> SimMeeting:
    """The first group's meeting, on Zoom."""
    assert run(service, "create_meetings") is None
    return min(zoom.meetings.values(), key=lambda one: one.start_time)


# ---- meetings ------------------------------------------------------------------------------------


def test_each_group_gets_one_meeting_however_often_the_job_runs(
    service: Service, zoom: SimulatedZoom
) -> None:
    for _ in range(3):
        assert run(service, "create_meetings") is None
    assert len(zoom.meetings) == 2
    assert all(one.registration_on for one in zoom.meetings.values())
    assert not any(
        one.settings["registrants_email_notification"]
        or one.settings["registrants_confirmation_email"]
        for one in zoom.meetings.values()
    )


def test_a_create_whose_answer_was_lost_is_found_again_and_not_repeated(
    service: Service, zoom: SimulatedZoom
) -> None:
    zoom.faults.api("meetingCreate", kind="timeout-after")
    assert run(service, "create_meetings") is None
    assert {row.state for row in rows(service, meetings)} == {"open"}
    run(service, "create_meetings")
    assert len(zoom.meetings) == 2


def test_a_meeting_is_found_by_its_reference_when_the_database_is_lost(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting
) -> None:
    with service.store.write() as connection:
        connection.execute(meetings.delete())
    run(service, "create_meetings")
    assert len(zoom.meetings) == 2
    assert {row.zoom_meeting_id for row in rows(service, meetings)} == set(zoom.meetings)


def test_two_meetings_with_one_reference_stop_the_group_and_are_told(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting
) -> None:
    with service.store.write() as connection:
        connection.execute(meetings.delete())
    zoom.create_meeting(
        topic="Copie", agenda=meeting.agenda, start_time=meeting.start_time, duration=120
    )
    run(service, "create_meetings")
    assert len(zoom.meetings) == 3
    row = next(row for row in rows(service, meetings) if row.focus_group == "teletravail")
    assert row.state == "duplicate"
    assert "2 meetings on Zoom carry" in row.problem


def test_a_meeting_edited_by_hand_is_told_and_left(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting
) -> None:
    moved = meeting.start_time + timedelta(minutes=30)
    zoom.edit_meeting(meeting.id, start_time=moved)
    run(service, "create_meetings")
    assert meeting.start_time == moved
    row = next(row for row in rows(service, meetings) if row.focus_group == "teletravail")
    assert (row.start_at, row.revision) == (moved, 1)
    kinds = [line.kind for line in rows(service, journal.journal)]
    assert kinds.count("meeting.edited") == 1
    assert not any(call.operation == "meetingUpdate" for call in zoom.calls)


def test_a_setting_that_zoom_drops_is_asked_for_once_and_told(
    service: Service, zoom: SimulatedZoom
) -> None:
    zoom.faults.drop_settings_on_write = {"registrants_email_notification"}
    zoom.host_type = 2
    for _ in range(3):
        run(service, "create_meetings")
    patches = [call for call in zoom.calls if call.operation == "meetingUpdate"]
    assert len(patches) <= 2
    problems = {row.problem for row in rows(service, meetings)}
    assert problems == {None} or any("did not apply" in str(problem) for problem in problems)


def test_a_deleted_meeting_is_missing_after_a_second_look_and_never_made_again(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting
) -> None:
    zoom.delete_meeting(meeting.id)
    run(service, "create_meetings")
    states = {row.focus_group: row.state for row in rows(service, meetings)}
    assert states["teletravail"] == "open"
    run(service, "create_meetings")
    states = {row.focus_group: row.state for row in rows(service, meetings)}
    assert states["teletravail"] == "missing"
    assert len(zoom.meetings) == 2


def test_a_missing_meeting_that_is_there_again_is_found_by_the_next_sweep(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting
) -> None:
    zoom.delete_meeting(meeting.id)
    run(service, "create_meetings", "create_meetings")
    woken: list[str] = []
    service.wake = woken.append
    run(service, "sync_registrants")
    assert woken == ["create_meetings"]  # the sweep lacked it, too
    zoom.recover_meeting(meeting.id)
    woken.clear()
    run(service, "sync_registrants")
    assert woken == ["create_meetings"]
    run(service, "create_meetings")
    woken.clear()
    run(service, "sync_registrants")
    assert woken == []


def test_a_date_in_the_past_is_never_created(
    service: Service, zoom: SimulatedZoom, clock: Clock
) -> None:
    clock.to(2021, 2, 9, 8, 0, 1)
    run(service, "create_meetings")
    assert [one.topic[:12] for one in zoom.meetings.values()] == ["Réinvestir l"]


# ---- the sweep -----------------------------------------------------------------------------------


def test_only_the_second_complete_listing_concludes_that_somebody_is_gone(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, clock: Clock
) -> None:
    zoom.register(meeting.id, email="alice@example.org", first_name="Alice")
    run(service, "sync_registrants")
    clock.move(minutes=20)
    zoom.cancel(meeting.id, email="alice@example.org")
    run(service, "sync_registrants")
    (alice,) = rows(service, registrants)
    assert (alice.status, alice.absent_since) == ("approved", clock())
    clock.move(minutes=5)
    run(service, "sync_registrants")
    assert rows(service, registrants)[0].status == "approved"
    clock.move(minutes=5)
    run(service, "sync_registrants")
    assert rows(service, registrants)[0].status == "cancelled"


def test_a_listing_that_breaks_off_concludes_nothing(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, clock: Clock
) -> None:
    zoom.register(meeting.id, email="alice@example.org", first_name="Alice")
    run(service, "sync_registrants")
    zoom.cancel(meeting.id, email="alice@example.org")
    for _ in range(3):
        clock.move(minutes=20)
        zoom.faults.api(
            "meetingRegistrants", kind="500", times=None,
            when=lambda request: request.query.get("status") == "denied",
        )  # fmt: skip
        assert run(service, "sync_registrants") is not None
    (alice,) = rows(service, registrants)
    assert (alice.status, alice.absent_since) == ("approved", None)


def test_a_sweep_that_finds_nothing_new_leaves_only_technical_lines(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting
) -> None:
    zoom.register(meeting.id, email="alice@example.org", first_name="Alice")
    run(service, "sync_registrants")
    before = len(rows(service, journal.journal))
    run(service, "sync_registrants")
    new = rows(service, journal.journal)[before:]
    assert {row.level for row in new} == {"debug"}
    assert [row.kind for row in new if row.kind != "zoom.call"] == ["sweep.done", "sweep.done"]


def test_many_gone_at_once_wait_for_a_yes(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, clock: Clock
) -> None:
    for n in range(5):
        zoom.register(meeting.id, email=f"p{n}@example.org", first_name="P")
    run(service, "sync_registrants")
    for n in range(5):
        zoom.cancel(meeting.id, email=f"p{n}@example.org")
    for _ in range(3):
        clock.move(minutes=20)
        run(service, "sync_registrants")
    assert {row.status for row in rows(service, registrants)} == {"approved"}
    assert "sweep.many_gone" in [line.kind for line in rows(service, journal.journal)]


# ---- reminders -----------------------------------------------------------------------------------


def register(service: Service, zoom: SimulatedZoom, meeting: SimMeeting, name: str) -> None:
    zoom.register(meeting.id, email=f"{name}@example.org", first_name=name)
    run(service, "sync_registrants", "deliver_letters")


@pytest.mark.parametrize(("seconds", "owed"), [(-1, True), (0, True), (1, False)])
def test_who_registers_after_a_reminder_fell_due_is_not_owed_it(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    seconds: int,
    owed: bool,
) -> None:
    clock.time = datetime(2021, 2, 8, 8, tzinfo=UTC) + timedelta(seconds=seconds)
    zoom.register(meeting.id, email="late@example.org", first_name="Late")
    clock.to(2021, 2, 8, 8, 1)
    run(service, "sync_registrants", "send_reminders")
    kinds = [kind for kind, state, _ in letter_states(service) if state == "queued"]
    assert ("reminder-1" in kinds) is owed


def test_a_reminder_that_an_outage_made_too_late_is_dropped_with_the_reason(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, clock: Clock
) -> None:
    daemon.start_up(service)
    register(service, zoom, meeting, "alice")
    clock.to(2021, 2, 8, 7, 0)
    run(service, "watch")
    clock.to(2021, 2, 9, 7, 30)
    with service.store.write() as connection:
        journal.note(
            connection, clock(), "service.started", "started",
            down_from=datetime(2021, 2, 8, 7, tzinfo=UTC), down_to=clock(),
        )  # fmt: skip
    run(service, "send_reminders", "deliver_letters")
    reasons = {kind: (state, reason) for kind, state, reason in letter_states(service)}
    assert reasons["reminder-1"] == (
        "dropped",
        "it could no longer leave in time:"
        " daemon was down from 2021-02-08 07:00 to 2021-02-09 07:30 UTC",
    )


def test_a_meeting_moved_by_hand_is_reminded_by_its_new_date(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    register(service, zoom, meeting, "alice")
    zoom.edit_meeting(meeting.id, start_time=datetime(2021, 2, 11, 13, tzinfo=UTC))
    run(service, "create_meetings")
    for day in (8, 10):
        clock.to(2021, 2, day, 8, 0)
        run(service, "send_reminders", "deliver_letters")
    last = mail_server.to("alice@example.org")[-1]
    assert last.message["X-Letter"] == "reminder-1"
    assert "jeudi 11 février 2021" in last.text
    assert [kind for kind, *_ in letter_states(service)].count("reminder-1") == 1


# ---- delivery ------------------------------------------------------------------------------------


def test_a_letter_refused_for_good_is_failed_with_the_servers_words_and_others_go(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, mail_server: MailServer
) -> None:
    mail_server.answers["RCPT"] = ["550 5.1.1 no such user"]
    for name in ("alice", "bob"):
        zoom.register(meeting.id, email=f"{name}@example.org", first_name=name)
    run(service, "sync_registrants", "deliver_letters")
    states = sorted((state, reason) for _, state, reason in letter_states(service))
    assert [state for state, _ in states] == ["failed", "sent"]
    assert "550 5.1.1 no such user" in str(states[0][1])
    assert len(mail_server.kept) == 1


def test_a_letter_put_off_goes_a_minute_later(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    mail_server.answers["RCPT"] = ["451 4.7.1 greylisted"]
    register(service, zoom, meeting, "alice")
    assert mail_server.kept == []
    clock.move(seconds=59)
    run(service, "deliver_letters")
    assert mail_server.kept == []
    clock.move(seconds=1)
    run(service, "deliver_letters")
    assert len(mail_server.kept) == 1


def test_nothing_goes_to_who_cancelled_while_the_letter_was_waiting(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, mail_server: MailServer
) -> None:
    zoom.register(meeting.id, email="alice@example.org", first_name="Alice")
    run(service, "sync_registrants")
    with service.store.write() as connection:
        connection.execute(update(registrants).values(status="cancelled"))
    run(service, "deliver_letters")
    assert mail_server.kept == []
    assert letter_states(service) == [("confirmation", "dropped", "the registration was cancelled")]


@pytest.mark.parametrize(
    ("kind", "state"),
    [("confirmation", "queued"), ("reminder-1", "queued"), ("reminder-7", "in_doubt")],
)
def test_a_letter_found_in_the_middle_of_sending_goes_once_more_or_waits(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, kind: str, state: str
) -> None:
    register(service, zoom, meeting, "alice")
    with service.store.write() as connection:
        connection.execute(
            update(letters).values(kind=kind, state="sending", message_id="<a@example.org>")
        )
    daemon.start_up(service)
    (letter,) = rows(service, letters)
    assert (letter.state, letter.message_id) == (state, "<a@example.org>")
    with service.store.write() as connection:
        connection.execute(update(letters).values(state="sending"))
        for found in outbox.found_sending(connection):
            daemon.delivery.recover(connection, service.campaign, service.now())
            assert found.id == letter.id
    assert rows(service, letters)[0].state == "in_doubt"


def test_paused_sending_sends_nothing(
    service: Service, zoom: SimulatedZoom, meeting: SimMeeting, mail_server: MailServer
) -> None:
    with service.store.write() as connection:
        journal.remember(connection, journal.PAUSED, "camille")
    register(service, zoom, meeting, "alice")
    assert mail_server.kept == []


def test_letters_are_held_while_the_clock_stands_before_what_was_done(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    run(service, "watch")
    zoom.register(meeting.id, email="alice@example.org", first_name="Alice")
    run(service, "sync_registrants")
    right = clock.time
    clock.time = right - timedelta(hours=2)
    service.zoom.clock_skew = timedelta(hours=2)
    run(service, "deliver_letters")
    assert mail_server.kept == []
    clock.time = right
    service.zoom.clock_skew = timedelta(0)
    run(service, "deliver_letters")
    assert len(mail_server.kept) == 1
    kinds = [line.kind for line in rows(service, journal.journal)]
    assert kinds.count("clock.held") == kinds.count("clock.released") == 1


# ---- the clock -----------------------------------------------------------------------------------


def test_the_timetable_fires_on_the_clocks_own_marks(settings: Settings) -> None:
    at = datetime(2021, 2, 9, 8, 3, 7, tzinfo=UTC)
    marks = {name: next_firing(trigger, at) for name, trigger in triggers(settings).items()}
    assert marks == {
        "create_meetings": datetime(2021, 2, 9, 9, 0, tzinfo=UTC),
        "sync_registrants": datetime(2021, 2, 9, 8, 10, tzinfo=UTC),
        "send_reminders": datetime(2021, 2, 9, 8, 4, tzinfo=UTC),
        "deliver_letters": datetime(2021, 2, 9, 8, 3, 15, tzinfo=UTC),
        "watch": datetime(2021, 2, 9, 8, 4, tzinfo=UTC),
        "purge_personal_data": datetime(2021, 2, 9, 9, 0, tzinfo=UTC),
        "back_up_database": datetime(2021, 2, 10, 0, 0, tzinfo=UTC),
    }
    polled = triggers(replace(settings, webhooks=False))["sync_registrants"]
    assert next_firing(polled, at) == datetime(2021, 2, 9, 8, 4, tzinfo=UTC)


def test_the_mailbox_of_what_came_back_has_a_mark_only_where_one_is_set(settings: Settings) -> None:
    assert "read_bounces" not in triggers(settings)
    reading = replace(settings, bounces_url=Secret("imaps://u:p@mail.example.org/INBOX"))
    at = datetime(2021, 2, 9, 8, 3, 7, tzinfo=UTC)
    found = next_firing(triggers(reading)["read_bounces"], at)
    assert found == datetime(2021, 2, 9, 8, 5, tzinfo=UTC)


def test_every_run_leaves_a_row_and_a_failed_one_its_error(
    service: Service, zoom: SimulatedZoom
) -> None:
    run(service, "watch")
    zoom.faults.api("*", kind="500", times=None)
    assert "ZoomUnreachable" in str(run(service, "create_meetings"))
    found = [(row.job, row.did, bool(row.error)) for row in rows(service, runs)]
    assert found == [("watch", "alive", False), ("create_meetings", "", True)]
