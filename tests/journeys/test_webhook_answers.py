"""What Zoom is answered when it calls, and what its call has changed by then."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests
from sqlalchemy import select

import jobs
from jobs.clock import run_job
from resonance_zoom.service import Service
from resonance_zoom.store import sqlite
from resonance_zoom.store.tables import events, journal, letters, meetings, registrants
from resonance_zoom.web.app import make_app
from resonance_zoom.web.server import WebServer
from resonance_zoom.zoom.protocol import sign
from resonance_zoom.zoom.simulator import SimMeeting, SimulatedZoom
from tests.conftest import WEBHOOK_SECRET, Clock


def rows(service: Service, table: Any) -> list[Any]:
    with service.store.read() as connection:
        return list(connection.execute(select(table)))


def run(service: Service, name: str) -> None:
    assert run_job(service, jobs.job(name)) is None


class Caller:
    """Posts to the webhook as Zoom does: signed over the very bytes."""

    def __init__(self, service: Service, clock: Clock, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/webhooks/zoom"
        self.service, self.clock = service, clock

    def post(
        self,
        body: bytes,
        *,
        signed_ago: int = 0,
        secret: str = WEBHOOK_SECRET,
        encoding: str = "identity",
    ) -> requests.Response:
        stamp = str(int(self.clock().timestamp()) - signed_ago)
        signed = {
            "x-zm-request-timestamp": stamp,
            "x-zm-signature": sign(secret, stamp, body),
            "content-encoding": encoding,
        }
        return requests.post(self.url, data=body, headers=signed, timeout=5)

    def tell(self, event: str, meeting_id: int, *, signed_ago: int = 0) -> int:
        thing: dict[str, Any] = {"id": meeting_id}
        if "registration" in event:
            thing["registrant"] = {
                "id": "r1",
                "email": "Alice@example.org",
                "first_name": "Alice",
                "status": "approved",
                "join_url": "https://zoom.us/w/1?tk=a",
            }
        document = {
            "event": event,
            "event_ts": int(self.clock.seconds() * 1000),
            "payload": {"object": thing},
        }
        return self.post(json.dumps(document).encode(), signed_ago=signed_ago).status_code

    @property
    def woken(self) -> list[str]:
        woken: list[str] = self.service.wake.__self__  # type: ignore[attr-defined]
        return woken


@pytest.fixture
def zoom_calls(service: Service, clock: Clock) -> Iterator[Caller]:
    server = WebServer(make_app(service), host="127.0.0.1", port=0)
    server.start()
    yield Caller(service, clock, server.port)
    server.stop()


@pytest.fixture
def meeting(service: Service, zoom: SimulatedZoom) -> SimMeeting:
    """The first group's meeting, on Zoom."""
    run(service, "create_meetings")
    return min(zoom.meetings.values(), key=lambda one: one.start_time)


CREATED = "meeting.registration_created"


def test_a_registration_is_stored_with_its_letter_before_the_200_and_only_once(
    service: Service, zoom_calls: Caller, meeting: SimMeeting
) -> None:
    assert [zoom_calls.tell(CREATED, meeting.id) for _ in range(3)] == [200, 200, 200]
    assert [row.email_folded for row in rows(service, registrants)] == ["alice@example.org"]
    assert [row.kind for row in rows(service, letters)] == ["confirmation"]
    assert len(rows(service, events)) == 1
    assert zoom_calls.woken == ["deliver_letters"]  # the repetitions owe nothing


@pytest.mark.of_a_file("held by another program's own transaction; see tests/postgresql")
def test_what_cannot_be_stored_is_answered_503_and_is_stored_when_zoom_comes_again(
    service: Service,
    zoom_calls: Caller,
    meeting: SimMeeting,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service.store.engine.dispose()
    monkeypatch.setattr(sqlite, "_PRAGMAS", ("PRAGMA busy_timeout=10", "PRAGMA foreign_keys=ON"))
    with closing(sqlite3.connect(service.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert zoom_calls.tell(CREATED, meeting.id) == 503
        other.execute("ROLLBACK")
    assert rows(service, registrants) == []
    assert zoom_calls.woken == []
    assert zoom_calls.tell(CREATED, meeting.id) == 200
    assert len(rows(service, registrants)) == 1


@pytest.mark.of_a_file("held by another program's own transaction; see tests/postgresql")
def test_the_challenge_is_answered_while_the_database_is_held(
    service: Service, zoom_calls: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.store.engine.dispose()
    monkeypatch.setattr(sqlite, "_PRAGMAS", ("PRAGMA busy_timeout=10",))
    body = b'{"event": "endpoint.url_validation", "payload": {"plainToken": "abc"}}'
    with closing(sqlite3.connect(service.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = zoom_calls.post(body)
        other.execute("ROLLBACK")
    assert answer.status_code == 200
    assert answer.json() == {
        "plainToken": "abc",
        # printf abc | openssl dgst -sha256 -hmac a-webhook-secret-of-32-characters
        "encryptedToken": "b6aeed845172b53f8a975309b482d778161e21bcbc496c09dbdbb748e75d9a07",
    }
    unsigned = zoom_calls.post(body, secret="another-secret-of-32-characters!!")
    assert unsigned.status_code == 401


def test_a_stale_notification_is_not_applied_and_zoom_is_asked_instead(
    service: Service, zoom_calls: Caller, meeting: SimMeeting
) -> None:
    assert zoom_calls.tell(CREATED, meeting.id, signed_ago=301) == 200
    assert rows(service, events) == []
    assert zoom_calls.woken == ["create_meetings", "sync_registrants"]


def test_a_meeting_that_is_none_of_ours_leaves_a_line_and_nothing_else(
    service: Service, zoom_calls: Caller, meeting: SimMeeting
) -> None:
    assert zoom_calls.tell(CREATED, meeting.id + 1) == 200
    assert zoom_calls.tell("meeting.started", meeting.id) == 200
    assert rows(service, events) == []
    assert zoom_calls.woken == []
    lines = [row for row in rows(service, journal) if row.kind == "webhook.received"]
    assert [row.focus_group for row in lines] == [None, "teletravail"]


def test_an_unknown_meeting_may_be_the_one_that_is_being_created(
    service: Service, zoom: SimulatedZoom, zoom_calls: Caller
) -> None:
    zoom.faults.api("meetingCreate", kind="500", times=None)
    run_job(service, jobs.job("create_meetings"))
    assert zoom_calls.tell(CREATED, 97980243740) == 200
    assert zoom_calls.woken == ["create_meetings", "sync_registrants"]


def test_a_meeting_deleted_on_zoom_is_missing_after_one_look_and_found_when_it_is_restored(
    service: Service, zoom: SimulatedZoom, zoom_calls: Caller, meeting: SimMeeting
) -> None:
    zoom.delete_meeting(meeting.id)
    assert zoom_calls.tell("meeting.deleted", meeting.id) == 200
    assert zoom_calls.woken == ["create_meetings"]
    run(service, "create_meetings")
    states = {row.focus_group: row.state for row in rows(service, meetings)}
    assert states["teletravail"] == "missing"
    zoom.recover_meeting(meeting.id)
    assert zoom_calls.tell("meeting.recovered", meeting.id) == 200
    run(service, "create_meetings")
    assert {row.state for row in rows(service, meetings)} == {"open"}
    assert len(zoom.meetings) == 2


def test_what_is_too_large_compressed_or_no_json_is_refused_for_good(zoom_calls: Caller) -> None:
    assert zoom_calls.post(b" " * (256 * 1024 + 1)).status_code == 413
    assert zoom_calls.post(b" " * (256 * 1024)).status_code == 400
    assert zoom_calls.post(b"{}", encoding="gzip").status_code == 415
    assert zoom_calls.post(b"[1, 2").status_code == 400


@pytest.mark.parametrize(
    ("ahead", "applied"), [(0, True), (300, True), (301, False), (10**8, False)]
)
def test_a_stamp_from_the_future_does_not_decide_for_ever(
    service: Service, zoom_calls: Caller, meeting: SimMeeting, ahead: int, applied: bool
) -> None:
    """The highest stamp wins: one from next year would win over all that is still to come."""
    registrant = {"id": "r1", "email": "alice@example.org", "first_name": "A", "status": "approved"}
    document = {
        "event": CREATED,
        "event_ts": (int(zoom_calls.clock.seconds()) + ahead) * 1000,
        "payload": {"object": {"id": meeting.id, "registrant": registrant}},
    }
    assert zoom_calls.post(json.dumps(document).encode()).status_code == 200
    assert len(rows(service, registrants)) == applied
    assert ("sync_registrants" in zoom_calls.woken) is not applied
