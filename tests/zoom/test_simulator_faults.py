"""Each fault of the simulated API does what it says, and leaves the truth as it says."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests

from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer

from .simulated import HOST, MEETING_START, Caller, Clock, caller, new_meeting, wanted

MEETINGS = f"/users/{HOST}/meetings"
ALICE: dict[str, Any] = {"email": "alice@example.org", "first_name": "Alice"}


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatedZoom(now=Clock())) as server:
        yield server


@pytest.fixture
def zoom(server: SimulatorServer) -> Iterator[Caller]:
    with caller(server) as zoom:
        zoom.token = zoom.ask_token().json()["access_token"]
        yield zoom


def create(zoom: Caller) -> requests.Response:
    answer: requests.Response = zoom.call("POST", MEETINGS, json=wanted())
    return answer


@pytest.mark.parametrize(
    ("kind", "meetings", "seen"),
    [
        ("timeout-before", 0, "Remote end closed connection without response"),
        ("timeout-after", 1, "Remote end closed connection without response"),
        ("reset", 0, "Connection reset by peer"),
        ("cut-off", 1, "IncompleteRead"),
    ],
)
def test_a_broken_connection_leaves_what_it_says(
    zoom: Caller, kind: str, meetings: int, seen: str
) -> None:
    """One meeting where it was done all the same; the next call is answered."""
    zoom.world.faults.api("meetingCreate", kind=kind)

    with pytest.raises(requests.RequestException, match=seen):
        create(zoom)

    assert len(zoom.world.meetings) == meetings
    assert zoom.world.calls[-1].fault == kind
    assert zoom.world.calls[-1].done is (meetings == 1)
    assert zoom.world.faults.happened == {kind: 1}
    assert create(zoom).status_code == 201


def test_a_dropped_connection_is_no_error_in_the_servers_log(
    zoom: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    for kind in ("timeout-before", "reset", "cut-off"):
        zoom.world.faults.api("meetings", kind=kind)
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            zoom.get(MEETINGS)
    zoom.get(MEETINGS)

    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    ("kind", "status"), [("500", 500), ("502", 502), ("503", 503), ("html", 200), ("404", 404)]
)
@pytest.mark.parametrize("after_effect", [False, True])
def test_an_error_before_or_after_the_effect(
    zoom: Caller, kind: str, status: int, after_effect: bool
) -> None:
    zoom.world.faults.api("meetingCreate", kind=kind, after_effect=after_effect)

    assert create(zoom).status_code == status
    assert len(zoom.world.meetings) == after_effect
    assert create(zoom).status_code == 201


def test_truncated_json_is_whole_http(zoom: Caller) -> None:
    zoom.world.faults.api("meetingCreate", kind="truncated")

    answer = create(zoom)

    assert answer.status_code == 201
    assert answer.text.startswith('{"uuid":')
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    assert len(zoom.world.meetings) == 1


def test_a_page_for_people_or_a_wrong_type_in_place_of_json(zoom: Caller) -> None:
    zoom.world.faults.api("meetings", kind="html")
    zoom.world.faults.api("meetings", kind="wrong-type")

    page, plain = zoom.get(MEETINGS), zoom.get(MEETINGS)

    assert page.headers["content-type"] == "text/html;charset=UTF-8"
    assert page.text.startswith("<html>")
    assert (plain.headers["content-type"], plain.json()["meetings"]) == ("text/plain", [])


def test_false_answers_have_zooms_bodies(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)
    zoom.world.faults.api("meeting", kind="401")
    zoom.world.faults.api("meeting", kind="404")

    path = f"/meetings/{meeting_id}"
    assert zoom.refusal("GET", path) == (401, 124, "Invalid access token.")
    assert zoom.refusal("GET", path) == (404, 3001, "Meeting does not exist.")
    assert zoom.get(path).status_code == 200


def test_429_with_and_without_a_time_to_come_back(zoom: Caller) -> None:
    zoom.world.faults.api("meetings", kind="429")
    zoom.world.faults.api("meetings", kind="429", retry_after="7")
    zoom.world.faults.api("meetings", kind="429-daily")

    second, seconds, daily = (zoom.get(MEETINGS) for _ in range(3))

    assert {second.status_code, seconds.status_code, daily.status_code} == {429}
    assert "per-second rate limit" in second.json()["message"]
    assert "retry-after" not in second.headers
    assert seconds.headers["retry-after"] == "7"
    assert "daily rate limit" in daily.json()["message"]
    assert daily.headers["retry-after"] == "2021-01-05T00:00:00Z"


def test_a_fault_strikes_its_operation_the_kth_call_and_as_often_as_planned(zoom: Caller) -> None:
    zoom.world.faults.api("meetings", kind="500", skip=2, times=2)

    assert zoom.get(f"/users/{HOST}").status_code == 200
    assert [zoom.get(MEETINGS).status_code for _ in range(5)] == [200, 200, 500, 500, 200]


def test_a_fault_may_look_at_the_request(zoom: Caller) -> None:
    """Here: only the second page."""
    for _ in range(3):
        new_meeting(zoom.world)
    fault = zoom.world.faults.api(
        "*", kind="503", times=None, when=lambda request: "next_page_token" in request.query
    )
    token = zoom.get(MEETINGS, page_size=2).json()["next_page_token"]

    assert zoom.get(MEETINGS, page_size=2, next_page_token=token).status_code == 503
    assert zoom.get(MEETINGS, page_size=2, next_page_token=token).status_code == 503
    fault.times = 0
    assert zoom.get(MEETINGS, page_size=2, next_page_token=token).status_code == 200


def test_a_fault_with_a_rate_repeats_for_the_same_seed(server: SimulatorServer) -> None:
    def statuses(seed: int) -> list[int]:
        with caller(server, seed=seed) as zoom:
            zoom.world.faults.api("meetings", kind="500", times=None, rate=0.5)
            return [zoom.get(MEETINGS).status_code for _ in range(30)]

    assert statuses(3) == statuses(3)
    assert statuses(3) != statuses(4)
    assert {200, 500} == set(statuses(3))


def test_faults_can_be_forgotten_and_an_unknown_kind_is_refused(zoom: Caller) -> None:
    zoom.world.faults.api("*", kind="500", times=None)
    zoom.world.faults.clear()

    assert zoom.get(MEETINGS).status_code == 200
    with pytest.raises(ValueError, match="'teapot' is no API fault"):
        zoom.world.faults.api("*", kind="teapot")


def test_oauth_may_fail_too(zoom: Caller) -> None:
    zoom.world.faults.api("token", kind="503")

    assert zoom.ask_token().status_code == 503
    assert zoom.ask_token().status_code == 200


def test_while_the_api_is_down_nobody_is_answered(zoom: Caller) -> None:
    zoom.world.faults.api_down = True

    with pytest.raises(requests.ConnectionError):
        create(zoom)
    with pytest.raises(requests.ConnectionError):
        zoom.ask_token()

    assert zoom.world.meetings == {}
    assert [call.fault for call in zoom.world.calls[-2:]] == ["api-down", "api-down"]
    zoom.world.faults.api_down = False
    assert create(zoom).status_code == 201


def test_a_lagging_listing_misses_who_has_just_registered(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)
    zoom.world.faults.listing_lag = timedelta(minutes=5)
    alice = zoom.world.register(meeting_id, **ALICE)
    path = f"/meetings/{meeting_id}/registrants"

    fresh = zoom.get(path).json()
    assert (fresh["total_records"], fresh["registrants"]) == (0, [])
    assert zoom.get(f"{path}/{alice.id}").status_code == 200
    zoom.clock.turn(minutes=5)

    assert zoom.get(path).json()["total_records"] == 1


def test_settings_may_be_dropped_at_create_and_taken_by_patch(zoom: Caller) -> None:
    zoom.world.faults.drop_settings_on_create = {"registrants_confirmation_email"}

    meeting = create(zoom).json()

    assert meeting["settings"]["registrants_confirmation_email"] is True
    assert meeting["settings"]["registrants_email_notification"] is False
    body = {"settings": {"registrants_confirmation_email": False}}
    zoom.call("PATCH", f"/meetings/{meeting['id']}", json=body)
    again = zoom.get(f"/meetings/{meeting['id']}").json()
    assert again["settings"]["registrants_confirmation_email"] is False


def test_settings_may_be_dropped_at_every_write(zoom: Caller) -> None:
    zoom.world.faults.drop_settings_on_write = {"approval_type"}

    meeting = create(zoom).json()
    body = {"settings": {"approval_type": 0}}
    patched = zoom.call("PATCH", f"/meetings/{meeting['id']}", json=body)

    assert patched.status_code == 204
    assert "registration_url" not in zoom.get(f"/meetings/{meeting['id']}").json()
    assert zoom.world.faults.happened["settings dropped"] == 2


def test_a_change_of_status_may_answer_204_and_do_nothing(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)
    alice = zoom.world.register(meeting_id, **ALICE)
    zoom.world.faults.status_changes_ignored = True
    body = {"action": "cancel", "registrants": [{"email": "alice@example.org"}]}

    answer = zoom.call("PUT", f"/meetings/{meeting_id}/registrants/status", json=body)

    assert answer.status_code == 204
    assert alice.status == "approved"


def test_an_api_add_may_go_without_a_notification(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)
    zoom.world.subscribe("http://127.0.0.1:9/")
    zoom.world.faults.silent_api_adds = True

    added = zoom.call("POST", f"/meetings/{meeting_id}/registrants", json=ALICE)

    assert added.status_code == 201
    assert zoom.world.next_delivery_at() is None


def test_per_second_limits_are_those_of_the_plan(zoom: Caller) -> None:
    """Free: two Medium calls a second, four Light ones; by the world's clock."""
    zoom.world.faults.per_second_limits = "free"

    assert [zoom.get(MEETINGS).status_code for _ in range(3)] == [200, 200, 429]
    assert [zoom.get(f"/users/{HOST}").status_code for _ in range(5)] == [200] * 4 + [429]
    zoom.clock.turn(seconds=1)
    assert zoom.get(MEETINGS).status_code == 200


def test_a_listing_that_changes_between_two_pages_shifts(zoom: Caller) -> None:
    """Who stood on the border is on no page: a complete listing can still miss somebody."""
    meeting_id = new_meeting(zoom.world, start_time=MEETING_START)
    for name in "abcd":
        zoom.world.register(meeting_id, email=f"{name}@example.org", first_name=name)
    path = f"/meetings/{meeting_id}/registrants"

    first = zoom.get(path, page_size=2).json()
    zoom.world.cancel(meeting_id, email="a@example.org")
    second = zoom.get(path, page_size=2, next_page_token=first["next_page_token"]).json()

    seen = [r["first_name"] for page in (first, second) for r in page["registrants"]]
    assert seen == ["a", "b", "d"]
