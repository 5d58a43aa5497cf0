"""Somebody duplicates a meeting on Zoom's page: it is told, and letters go on."""

from typing import Any

from sqlalchemy import select, true

import jobs
from jobs.clock import run_job
from resonance_zoom.service import Service
from resonance_zoom.store.tables import journal, meetings
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.conftest import Clock
from tests.mail_server import MailServer

ALL = true()


def run(service: Service, *names: str) -> None:
    for name in names:
        assert run_job(service, jobs.job(name)) is None


def values(service: Service, *columns: Any, where: Any = ALL) -> list[tuple[Any, ...]]:
    with service.store.read() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).where(where))]


def test_a_copy_is_told_once_until_it_is_gone_and_letters_go_on(
    service: Service,
    zoom: SimulatedZoom,
    meeting: SimMeeting,
    clock: Clock,
    mail_server: MailServer,
) -> None:
    copy = zoom.create_meeting(
        topic="Copie", agenda=meeting.agenda, start_time=meeting.start_time, duration=120
    )
    words = (
        f"meeting {meeting.id} was copied on Zoom: {copy.id}. Whoever registers there is not known"
        " here; delete the copy on zoom.us"
    )
    for fails in (False, True, False):
        if fails:
            zoom.faults.api("meetings", kind="500", times=None)
        run(service, "create_meetings")
        zoom.faults.clear()
        clock.move(hours=1)
    problems = values(service, meetings.c.state, meetings.c.problem)
    assert set(problems) == {("open", words), ("open", None)}
    told = journal.c.kind == "meeting.problem"
    assert values(service, journal.c.level, journal.c.message, where=told) == [("error", words)]
    zoom.register(meeting.id, email="alice@example.org", first_name="Alice")
    run(service, "sync_registrants", "deliver_letters")
    assert len(mail_server.to("alice@example.org")) == 1
    zoom.delete_meeting(copy.id)
    run(service, "create_meetings")
    assert set(values(service, meetings.c.problem)) == {(None,)}
