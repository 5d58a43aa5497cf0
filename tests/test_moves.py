"""A date moved in the file waits ten minutes, then Zoom and everybody who was told the old one hear
of it, once; a group taken out of the file is called off in the same way."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import jobs
from jobs.clock import run_job
from resonance_zoom import planning
from resonance_zoom.campaign_file import load_campaign
from resonance_zoom.service import Service
from resonance_zoom.store.tables import journal, letters, meetings
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.conftest import CAMPAIGN, Clock
from tests.mail_server import MailServer


def run(service: Service, *names: str) -> None:
    for name in names:
        assert run_job(service, next(job for job in jobs.SCHEDULE if job.name == name)) is None


def rows(service: Service, table: Any) -> list[Any]:
    with service.store.read() as connection:
        return list(connection.execute(select(table)))


def owed(service: Service, kind: str) -> list[Any]:
    return [row for row in rows(service, letters) if row.kind == kind]


def kinds(service: Service) -> list[str]:
    return [row.kind for row in rows(service, journal)]


@pytest.fixture
def meeting(service: Service, zoom: SimulatedZoom, mail_server: MailServer) -> SimMeeting:
    """The first group's meeting on Zoom; Alice is registered and has her confirmation."""
    run(service, "create_meetings")
    meeting = min(zoom.meetings.values(), key=lambda one: one.start_time)
    zoom.register(meeting.id, email="alice@example.org", first_name="Alice")
    run(service, "sync_registrants", "deliver_letters")
    assert len(mail_server.to("alice@example.org")) == 1
    return meeting


def edit(campaign_file: Path, was: str, now: str) -> None:
    text = campaign_file.read_text(encoding="utf-8")
    assert was in text
    campaign_file.write_text(text.replace(was, now), encoding="utf-8")


def move_to_the_10th(campaign_file: Path) -> None:
    edit(campaign_file, "date = 2021-02-09", "date = 2021-02-10")


def test_a_moved_date_waits_ten_minutes_and_is_then_told_once(
    service: Service,
    meeting: SimMeeting,
    campaign_file: Path,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    move_to_the_10th(campaign_file)
    run(service, "watch", "create_meetings", "deliver_letters")
    assert f"{meeting.start_time:%Y-%m-%d}" == "2021-02-09"
    clock.move(minutes=9, seconds=59)
    run(service, "watch", "create_meetings", "deliver_letters")
    assert f"{meeting.start_time:%Y-%m-%d}" == "2021-02-09"
    assert len(mail_server.to("alice@example.org")) == 1
    clock.move(seconds=1)
    for _ in range(3):
        run(service, "watch", "create_meetings", "deliver_letters")
    assert f"{meeting.start_time:%Y-%m-%d %H:%M}" == "2021-02-10 08:00"
    (letter,) = [one for one in mail_server.to("alice@example.org") if one.kind == "moved"]
    assert "mardi 9 février 2021" in letter.text
    assert "mercredi 10 février 2021, de 9\u00a0h\u00a000" in letter.text
    assert "SEQUENCE:1" in letter.calendar


def test_the_heartbeat_wakes_the_job_when_the_ten_minutes_are_over(
    service: Service, meeting: SimMeeting, campaign_file: Path, clock: Clock
) -> None:
    woken: list[str] = service.wake.__self__  # type: ignore[attr-defined]
    move_to_the_10th(campaign_file)
    run(service, "watch")
    assert "create_meetings" in woken
    run(service, "create_meetings")
    woken.clear()
    clock.move(minutes=9)
    run(service, "watch")
    assert "create_meetings" not in woken
    clock.move(minutes=1)
    run(service, "watch")
    assert "create_meetings" in woken


def test_a_typo_that_is_corrected_at_once_is_never_heard_of(
    service: Service, meeting: SimMeeting, campaign_file: Path, clock: Clock
) -> None:
    move_to_the_10th(campaign_file)
    run(service, "watch", "create_meetings")
    clock.move(minutes=5)
    edit(campaign_file, "date = 2021-02-10", "date = 2021-02-09")
    for _ in range(3):
        run(service, "watch", "create_meetings")
        clock.move(minutes=10)
    assert f"{meeting.start_time:%Y-%m-%d}" == "2021-02-09"
    assert owed(service, "moved") == []


def test_a_second_thought_starts_the_ten_minutes_anew(
    service: Service, meeting: SimMeeting, campaign_file: Path, clock: Clock
) -> None:
    move_to_the_10th(campaign_file)
    run(service, "watch", "create_meetings")
    clock.move(minutes=8)
    edit(campaign_file, "date = 2021-02-10", "date = 2021-02-11")
    run(service, "watch", "create_meetings")
    clock.move(minutes=8)
    run(service, "watch", "create_meetings")
    assert f"{meeting.start_time:%Y-%m-%d}" == "2021-02-09"
    clock.move(minutes=2)
    run(service, "watch", "create_meetings")
    assert f"{meeting.start_time:%Y-%m-%d}" == "2021-02-11"
    assert [f"{row.start_at:%Y-%m-%d}" for row in owed(service, "moved")] == ["2021-02-11"]


def test_a_new_title_does_not_wait(
    service: Service, meeting: SimMeeting, campaign_file: Path
) -> None:
    edit(campaign_file, "Accompagner le développement", "Aider au développement")
    run(service, "watch", "create_meetings")
    assert meeting.topic == "Aider au développement du télétravail"
    assert owed(service, "moved") == []


def test_who_registers_while_the_date_moves_is_told_one_date(
    service: Service,
    meeting: SimMeeting,
    campaign_file: Path,
    clock: Clock,
    zoom: SimulatedZoom,
    mail_server: MailServer,
) -> None:
    move_to_the_10th(campaign_file)
    run(service, "watch", "create_meetings")
    clock.move(minutes=10)
    zoom.register(meeting.id, email="bob@example.org", first_name="Bob")
    run(service, "sync_registrants", "create_meetings", "deliver_letters")
    (letter,) = mail_server.to("bob@example.org")
    assert letter.kind == "confirmation"
    assert "mercredi 10 février 2021" in letter.text


def test_reminders_follow_the_new_date(
    service: Service,
    meeting: SimMeeting,
    campaign_file: Path,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    move_to_the_10th(campaign_file)
    run(service, "watch", "create_meetings")
    clock.move(minutes=10)
    run(service, "create_meetings")
    clock.to(2021, 2, 2, 9)
    run(service, "send_reminders")
    assert owed(service, "reminder-7") == []
    clock.to(2021, 2, 3, 8)
    run(service, "send_reminders", "deliver_letters")
    assert [row.state for row in owed(service, "reminder-7")] == ["sent"]


def test_a_move_by_hand_on_zoom_is_told_after_ten_minutes_unless_taken_back(
    service: Service,
    meeting: SimMeeting,
    clock: Clock,
    zoom: SimulatedZoom,
    mail_server: MailServer,
) -> None:
    original = meeting.start_time
    zoom.edit_meeting(meeting.id, start_time=original.replace(day=12))
    run(service, "create_meetings", "deliver_letters")
    assert len(mail_server.to("alice@example.org")) == 1
    zoom.edit_meeting(meeting.id, start_time=original)
    clock.move(minutes=10)
    run(service, "create_meetings", "deliver_letters")
    assert len(mail_server.to("alice@example.org")) == 1
    assert {row.reason for row in owed(service, "moved")} == {"moved"}
    zoom.edit_meeting(meeting.id, start_time=original.replace(day=12))
    run(service, "create_meetings")
    clock.move(minutes=10)
    run(service, "deliver_letters")
    assert [one.kind for one in mail_server.to("alice@example.org")] == ["confirmation", "moved"]


def without_the_first_group(campaign_file: Path) -> None:
    head, _, second = CAMPAIGN.split("[[focus_group]]")
    campaign_file.write_text(f"{head}[[focus_group]]{second}", encoding="utf-8")


@pytest.mark.parametrize("how", ["removed", "cancelled = true"])
def test_a_group_called_off_is_told_to_its_registrants_after_ten_minutes(
    how: str,
    service: Service,
    meeting: SimMeeting,
    campaign_file: Path,
    clock: Clock,
    zoom: SimulatedZoom,
    mail_server: MailServer,
) -> None:
    if how == "removed":
        without_the_first_group(campaign_file)
    else:
        edit(campaign_file, 'slug = "teletravail"\n', 'slug = "teletravail"\ncancelled = true\n')
    run(service, "watch", "create_meetings", "deliver_letters")
    assert len(mail_server.to("alice@example.org")) == 1
    clock.move(minutes=10)
    for _ in range(2):
        run(service, "watch", "create_meetings", "deliver_letters")
    letters_to_alice = mail_server.to("alice@example.org")
    assert [one.kind for one in letters_to_alice] == ["confirmation", "cancelled"]
    assert "METHOD:CANCEL" in letters_to_alice[-1].calendar
    assert meeting.id in zoom.meetings  # never deleted by us
    clock.to(2021, 2, 8, 9)
    run(service, "sync_registrants", "send_reminders", "deliver_letters")
    assert len(mail_server.to("alice@example.org")) == 2


def test_who_registers_for_a_meeting_that_was_called_off_is_told_so_at_once(
    service: Service,
    meeting: SimMeeting,
    campaign_file: Path,
    clock: Clock,
    zoom: SimulatedZoom,
    mail_server: MailServer,
) -> None:
    without_the_first_group(campaign_file)
    run(service, "watch", "create_meetings")
    clock.move(minutes=10)
    run(service, "create_meetings")
    zoom.register(meeting.id, email="bob@example.org", first_name="Bob")
    run(service, "sync_registrants", "deliver_letters")
    assert [one.kind for one in mail_server.to("bob@example.org")] == ["cancelled"]


def test_a_group_that_comes_back_within_ten_minutes_was_never_gone(
    service: Service, meeting: SimMeeting, campaign_file: Path, clock: Clock
) -> None:
    without_the_first_group(campaign_file)
    run(service, "watch", "create_meetings")
    clock.move(minutes=9)
    campaign_file.write_text(CAMPAIGN, encoding="utf-8")
    run(service, "watch", "create_meetings")
    clock.move(minutes=9)
    run(service, "watch", "create_meetings")
    assert owed(service, "cancelled") == []
    assert all(row.cancelled_at is None for row in rows(service, meetings))


def test_an_edited_file_with_a_mistake_is_told_once_and_the_old_one_goes_on(
    service: Service, meeting: SimMeeting, campaign_file: Path
) -> None:
    edit(campaign_file, "date = 2021-02-09", "date = 2021-02-30")
    for _ in range(3):
        run(service, "watch", "create_meetings")
    assert kinds(service).count("campaign.refused") == 1
    assert f"{meeting.start_time:%Y-%m-%d}" == "2021-02-09"
    edit(campaign_file, "date = 2021-02-30", "date = 2021-02-09")
    for _ in range(3):
        run(service, "watch", "create_meetings")
    assert kinds(service).count("campaign.reloaded") == 1


def test_a_running_campaign_keeps_the_names_by_which_its_meetings_are_found(
    service: Service, meeting: SimMeeting, campaign_file: Path, zoom: SimulatedZoom
) -> None:
    edit(campaign_file, 'slug = "resonance-2021"', 'slug = "resonance-2022"')
    run(service, "watch", "create_meetings")
    assert len(zoom.meetings) == 2
    assert service.campaign.slug == "resonance-2021"
    assert "campaign.refused" in kinds(service)


def test_the_plan_says_how_many_will_be_told_before_anybody_is(
    service: Service, meeting: SimMeeting, campaign_file: Path, zoom: SimulatedZoom
) -> None:
    move_to_the_10th(campaign_file)
    found = planning.plan(service.store, service.zoom, load_campaign(campaign_file), service.now())
    assert [(group["slug"], group["told"]) for group in found["focus_groups"]] == [
        ("teletravail", 1),
        ("espaces-exterieurs", 0),
    ]
    assert (
        "  !! 1 person will be told, ten minutes after the edit; until then it can be taken back"
        in list(planning.sentences(found))
    )
    without_the_first_group(campaign_file)
    found = planning.plan(service.store, service.zoom, load_campaign(campaign_file), service.now())
    assert [(group["slug"], group["action"], group["told"]) for group in found["focus_groups"]] == [
        ("teletravail", "call_off", 1),
        ("espaces-exterieurs", "keep", 0),
    ]


def test_once_a_move_is_done_zoom_is_not_asked_every_minute(
    service: Service, meeting: SimMeeting, campaign_file: Path, clock: Clock
) -> None:
    woken: list[str] = []
    service.wake = woken.append
    move_to_the_10th(campaign_file)
    run(service, "watch", "create_meetings")
    clock.move(minutes=10)
    run(service, "watch", "create_meetings")
    assert f"{meeting.start_time:%Y-%m-%d}" == "2021-02-10"
    woken.clear()
    clock.move(minutes=1)
    run(service, "watch")
    assert "create_meetings" not in woken
