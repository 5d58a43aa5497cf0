"""The simulator keeps meetings as Zoom does: what it overrules, cuts, counts and refuses."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer

from .simulated import HOST, MEETING_START, START, Caller, Clock, caller, new_meeting, wanted

MEETINGS = f"/users/{HOST}/meetings"


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatedZoom(now=Clock())) as server:
        yield server


@pytest.fixture
def zoom(server: SimulatorServer) -> Iterator[Caller]:
    with caller(server) as zoom:
        yield zoom


def test_a_created_meeting_can_be_read_back(zoom: Caller) -> None:
    meeting = zoom.create()

    assert meeting["id"] > 10**10
    assert meeting["start_time"] == "2021-02-09T08:00:00Z"
    assert meeting["registration_url"].startswith("https://us02web.zoom.us/meeting/register/")
    assert meeting["settings"]["approval_type"] == 0
    assert meeting["settings"]["registrants_confirmation_email"] is False
    assert meeting["creation_source"] == "open_api"
    assert zoom.get(f"/meetings/{meeting['id']}").json() == meeting


def test_the_same_seed_and_calls_give_the_same_answers(server: SimulatorServer) -> None:
    """Ids, links and tokens, down to the byte; another seed gives others."""

    def play(seed: int) -> list[Any]:
        with caller(server, seed=seed) as zoom:
            meeting = zoom.create()
            body = {"email": "alice@example.org", "first_name": "Alice"}
            added = zoom.call("POST", f"/meetings/{meeting['id']}/registrants", json=body)
            return [zoom.token, meeting, added.content]

    assert play(7) == play(7)
    assert play(7)[0] != play(8)[0]
    assert play(7)[1]["id"] != play(8)[1]["id"]


def test_a_start_without_z_is_local_time(zoom: Caller) -> None:
    meeting = zoom.create(start_time="2021-07-09T09:00:00", timezone="Europe/Paris")

    assert meeting["start_time"] == "2021-07-09T07:00:00Z"


def test_a_start_in_the_past_becomes_now_without_an_error(zoom: Caller) -> None:
    meeting = zoom.create(start_time="2020-02-09T08:00:00Z")

    assert meeting["start_time"] == "2021-01-04T09:00:00Z"


def test_a_patch_to_the_past_is_ignored_and_the_rest_applied(zoom: Caller) -> None:
    meeting = zoom.create()
    changes = {"start_time": "2020-02-09T08:00:00Z", "topic": "Autre"}

    answer = zoom.call("PATCH", f"/meetings/{meeting['id']}", json=changes)

    assert (answer.status_code, answer.content) == (204, b"")
    assert zoom.world.meetings[meeting["id"]].start_time == MEETING_START
    assert zoom.world.meetings[meeting["id"]].topic == "Autre"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"topic": "x" * 201}, "topic"),
        ({"agenda": "x" * 2001}, "agenda"),
        ({"duration": 0}, "duration"),
        ({"duration": 1441}, "duration"),
        ({"password": "12345678901"}, "password"),
        ({"start_time": "2021-02-09T08:00:00+01:00"}, "start_time"),
        ({"start_time": "2021-02-30T08:00:00Z"}, "start_time"),
        ({"timezone": "Europe"}, "timezone"),
        ({"timezone": ""}, "timezone"),
        ({"type": 8}, "type"),
        ({"settings": {"approval_type": 3}}, "settings.approval_type"),
        ({"settings": {"approval_type": True}}, "settings.approval_type"),
        ({"settings": {"use_pmi": 0}}, "settings.use_pmi"),
    ],
)
def test_what_zoom_does_not_accept_is_named(
    zoom: Caller, changes: dict[str, Any], field: str
) -> None:
    answer = zoom.call("POST", MEETINGS, json=wanted(**changes))

    assert answer.status_code == 400
    assert answer.json()["code"] == 300
    assert answer.json()["message"] == "Validation Failed."
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert zoom.world.meetings == {}


def test_a_body_that_is_no_object_is_refused(zoom: Caller) -> None:
    expected = (400, 300, "Request Body should be a valid JSON object.")
    assert zoom.refusal("POST", MEETINGS, json=[1]) == expected
    assert zoom.refusal("POST", MEETINGS) == expected


def test_the_list_cuts_the_agenda_and_has_no_settings(zoom: Caller) -> None:
    zoom.create(agenda="a" * 250 + "b")

    [line] = zoom.get(MEETINGS).json()["meetings"]

    assert line["agenda"] == "a" * 250
    assert not {"settings", "registration_url", "start_url", "host_email"} & line.keys()


def test_the_list_is_paged_and_a_page_token_lives_15_minutes(zoom: Caller) -> None:
    ids = [new_meeting(zoom.world, start_time=MEETING_START.replace(day=d)) for d in range(1, 8)]

    first = zoom.get(MEETINGS, page_size=3).json()
    second = zoom.get(MEETINGS, page_size=3, next_page_token=first["next_page_token"]).json()
    zoom.clock.turn(minutes=15)
    third = zoom.get(MEETINGS, page_size=3, next_page_token=second["next_page_token"]).json()

    assert (first["total_records"], first["page_count"], first["page_size"]) == (7, 3, 3)
    assert [m["id"] for page in (first, second, third) for m in page["meetings"]] == ids
    assert third["next_page_token"] == ""
    zoom.clock.turn(seconds=1)
    stale = zoom.refusal("GET", MEETINGS, page_size=3, next_page_token=second["next_page_token"])
    assert stale == (400, 300, "The next page token is invalid or expired.")


@pytest.mark.parametrize("size", ["0", "301", "-1", "x"])
def test_a_page_holds_1_to_300_lines(zoom: Caller, size: str) -> None:
    assert zoom.refusal("GET", MEETINGS, page_size=size)[:2] == (400, 300)


@pytest.mark.parametrize("token", ["x", "!!!", "e30=", "W10="])
def test_a_page_token_of_ones_own_making_is_refused(zoom: Caller, token: str) -> None:
    assert zoom.refusal("GET", MEETINGS, next_page_token=token)[:2] == (400, 300)


def test_the_list_tells_upcoming_from_previous_from_live(zoom: Caller) -> None:
    over = new_meeting(zoom.world, start_time=START)
    zoom.clock.turn(hours=3)
    zoom.token = ""
    live = new_meeting(zoom.world, start_time=zoom.clock.time)
    zoom.world.start_meeting(live)
    later = new_meeting(zoom.world)

    def listed(**query: str) -> list[int]:
        return [meeting["id"] for meeting in zoom.get(MEETINGS, **query).json()["meetings"]]

    assert listed() == [over, live, later]
    assert listed(type="upcoming") == [live, later]
    assert listed(type="previous_meetings") == [over]
    assert listed(type="live") == [live]
    assert listed(**{"from": "2021-02-01"}) == [later]
    assert listed(to="2021-01-31") == [over, live]
    assert zoom.refusal("GET", MEETINGS, type="all")[:2] == (400, 300)


def test_a_deleted_meeting_does_not_exist_until_it_is_recovered(zoom: Caller) -> None:
    meeting_id = zoom.create()["id"]
    assert zoom.call("DELETE", f"/meetings/{meeting_id}").status_code == 204

    gone = (404, 3001, f"Meeting does not exist: {meeting_id}.")
    assert zoom.refusal("GET", f"/meetings/{meeting_id}") == gone
    assert zoom.refusal("GET", f"/meetings/{meeting_id}/registrants") == gone
    assert zoom.get(MEETINGS).json()["meetings"] == []
    assert zoom.world.meetings[meeting_id].deleted

    zoom.world.recover_meeting(meeting_id)
    assert zoom.get(f"/meetings/{meeting_id}").status_code == 200


def test_a_running_meeting_cannot_be_deleted(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)
    zoom.world.start_meeting(meeting_id)

    assert zoom.refusal("DELETE", f"/meetings/{meeting_id}")[:2] == (400, 3002)


def test_a_meeting_id_expires_30_days_after_the_end(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)
    zoom.clock.time = datetime(2021, 3, 11, 10, 0, tzinfo=UTC)
    assert zoom.get(f"/meetings/{meeting_id}").status_code == 200

    zoom.clock.turn(seconds=1)

    assert zoom.refusal("GET", f"/meetings/{meeting_id}")[:2] == (404, 3001)


def test_a_host_creates_and_changes_100_times_a_day(zoom: Caller) -> None:
    """Counted together, until 00:00 UTC."""
    meeting_id = zoom.create()["id"]
    for number in range(99):
        body = {"topic": f"Titre {number}"}
        assert zoom.call("PATCH", f"/meetings/{meeting_id}", json=body).status_code == 204

    answer = zoom.call("POST", MEETINGS, json=wanted())
    assert answer.status_code == 429
    assert "daily rate limit (100)" in answer.json()["message"]
    assert "retry-after" not in answer.headers
    zoom.clock.time = datetime(2021, 1, 4, 23, 59, 59, tzinfo=UTC)
    zoom.token = ""
    assert zoom.refusal("POST", MEETINGS, json=wanted())[:2] == (429, 429)
    zoom.clock.turn(seconds=1)
    assert zoom.call("POST", MEETINGS, json=wanted()).status_code == 201


def test_registration_of_an_unlicensed_host_is_dropped_without_a_word(
    server: SimulatorServer,
) -> None:
    with caller(server, host_type=1) as zoom:
        meeting = zoom.create()

        assert meeting["settings"]["approval_type"] == 2
        assert "registration_url" not in meeting
        assert zoom.get(f"/users/{HOST}").json()["type"] == 1
        registrants = f"/meetings/{meeting['id']}/registrants"
        assert zoom.refusal("GET", registrants)[:2] == (400, 200)


def test_registration_of_an_unlicensed_host_is_refused_when_so_switched(
    server: SimulatorServer,
) -> None:
    with caller(server, host_type=1) as zoom:
        zoom.world.faults.basic_host_refused = True

        refused = zoom.refusal("POST", MEETINGS, json=wanted())

        assert refused == (400, 300, "Registration cannot be enabled for a basic user.")
        assert zoom.world.meetings == {}


def test_a_host_without_a_meetings_licence_creates_nothing(server: SimulatorServer) -> None:
    with caller(server, host_type=4) as zoom:
        assert zoom.refusal("POST", MEETINGS, json=wanted())[:2] == (400, 3161)


def test_zoom_overrules_settings_that_cannot_be(zoom: Caller) -> None:
    """The personal meeting id has no registration; the waiting room waits for the host."""
    pmi = zoom.create(settings={"approval_type": 0, "use_pmi": True})
    waiting = zoom.create(settings={"waiting_room": True, "join_before_host": True})

    assert pmi["settings"]["approval_type"] == 2
    assert waiting["settings"]["join_before_host"] is False


def test_an_unknown_host_operation_or_id_is_refused(zoom: Caller) -> None:
    assert zoom.refusal("GET", "/users/me") == (404, 1001, "User does not exist: me.")
    assert zoom.refusal("POST", "/users/x@example.org/meetings", json=wanted())[:2] == (404, 1001)
    assert zoom.refusal("GET", "/webinars/1")[:2] == (404, 2300)
    assert zoom.refusal("PUT", MEETINGS)[:2] == (404, 2300)
    assert zoom.refusal("GET", "/meetings/abc")[:2] == (400, 300)


def test_answers_are_dated_by_the_worlds_clock_and_name_their_category(zoom: Caller) -> None:
    answer = zoom.get(MEETINGS)

    assert answer.headers["date"] == "Mon, 04 Jan 2021 09:00:00 GMT"
    assert answer.headers["x-ratelimit-category"] == "Medium"


def test_every_call_is_remembered(zoom: Caller) -> None:
    zoom.create()
    zoom.get("/meetings/1")

    calls = [(c.operation, c.method, c.status, c.done) for c in zoom.world.calls]
    assert calls == [
        ("token", "POST", 200, True),
        ("meetingCreate", "POST", 201, True),
        ("meeting", "GET", 404, False),
    ]
    assert zoom.world.calls[2].path == "/v2/meetings/1"
    assert zoom.world.calls[2].at == START


def test_a_meeting_made_by_hand_is_listed_beside_ours(zoom: Caller) -> None:
    zoom.create()
    by_hand = new_meeting(zoom.world)

    assert zoom.get(MEETINGS).json()["total_records"] == 2
    assert zoom.get(f"/meetings/{by_hand}").json()["creation_source"] == "web_portal"
