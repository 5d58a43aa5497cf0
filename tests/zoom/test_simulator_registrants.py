"""The simulator registers people as Zoom's page and API do, and shows them as the listings do."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resonance_zoom.zoom.simulator import Refusal, SimulatedZoom, SimulatorServer

from .simulated import HOST, MEETING_START, Caller, Clock, caller, new_meeting

ALICE: dict[str, Any] = {"email": "alice@example.org", "first_name": "Alice", "last_name": "Martin"}


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatedZoom(now=Clock())) as server:
        yield server


@pytest.fixture
def zoom(server: SimulatorServer) -> Iterator[Caller]:
    with caller(server) as zoom:
        yield zoom


def listed(zoom: Caller, meeting_id: int, status: str | None = None) -> list[str]:
    query = {"status": status} if status else {}
    answer = zoom.get(f"/meetings/{meeting_id}/registrants", **query).json()
    return [registrant["email"] for registrant in answer["registrants"]]


def refused(act: Any, *args: Any, **given: Any) -> int | None:
    """Zoom's code for an act that it does not allow."""
    with pytest.raises(Refusal) as caught:
        act(*args, **given)
    return caught.value.code


def test_automatic_approval_gives_a_personal_link_at_once(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)

    alice = zoom.world.register(meeting_id, **ALICE)
    bob = zoom.world.register(meeting_id, email="bob@example.org", first_name="Bob")

    assert alice.status == "approved"
    assert alice.join_url is not None
    assert alice.join_url.startswith(f"https://us02web.zoom.us/w/{meeting_id}?tk=")
    assert "&pwd=" in alice.join_url
    assert alice.join_url != bob.join_url
    assert zoom.world.meetings[meeting_id].registrants[alice.id] is alice
    assert listed(zoom, meeting_id) == ["alice@example.org", "bob@example.org"]


def test_manual_approval_gives_the_link_with_the_approval(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world, approval_type=1)

    alice = zoom.world.register(meeting_id, **ALICE)
    assert (alice.status, alice.join_url) == ("pending", None)
    assert listed(zoom, meeting_id) == []
    assert listed(zoom, meeting_id, "pending") == ["alice@example.org"]

    zoom.world.approve(meeting_id, email="ALICE@example.org")
    assert alice.status == "approved"
    assert alice.join_url is not None


def test_registering_twice_in_any_casing_returns_what_is_there(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)
    alice = zoom.world.register(meeting_id, **ALICE)

    again = zoom.world.register(meeting_id, email="Alice@Example.org", first_name="Al")

    assert again is alice
    assert alice.first_name == "Alice"


def test_who_cancels_is_in_no_listing_and_may_come_back_under_a_new_id(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)
    alice = zoom.world.register(meeting_id, **ALICE)

    zoom.world.cancel(meeting_id, email="alice@example.org")

    assert alice.status == "cancelled"
    assert [listed(zoom, meeting_id, s) for s in ("approved", "pending", "denied")] == [[], [], []]
    back = zoom.world.register(meeting_id, **ALICE)
    assert back.id != alice.id
    assert back.join_url != alice.join_url
    assert listed(zoom, meeting_id) == ["alice@example.org"]


def test_who_comes_back_keeps_the_id_when_so_switched(zoom: Caller) -> None:
    zoom.world.faults.same_id_after_cancel = True
    meeting_id = new_meeting(zoom.world)
    first = zoom.world.register(meeting_id, **ALICE)
    first_id, first_link = first.id, first.join_url
    zoom.world.cancel(meeting_id, email="alice@example.org")

    back = zoom.world.register(meeting_id, **ALICE)

    assert back.id == first_id
    assert back.join_url != first_link
    assert [status for _, status in back.history] == ["approved", "cancelled", "approved"]


def test_whom_the_host_cancels_is_denied_and_blocked(zoom: Caller) -> None:
    """Zoom's two meanings of a cancellation."""
    meeting_id = new_meeting(zoom.world)
    zoom.world.register(meeting_id, **ALICE)

    zoom.world.host_cancel(meeting_id, email="alice@example.org")

    assert listed(zoom, meeting_id, "denied") == ["alice@example.org"]
    assert refused(zoom.world.register, meeting_id, **ALICE) == 3000


def test_registration_is_refused_when_it_is_off_over_or_by_a_host(zoom: Caller) -> None:
    off = new_meeting(zoom.world, approval_type=2)
    meeting_id = new_meeting(zoom.world)
    zoom.world.edit_meeting(meeting_id, settings={"alternative_hosts": "a@example.org; B@x.org"})

    assert refused(zoom.world.register, off, **ALICE) == 404
    for email in (HOST.upper(), "A@example.org", "b@x.org"):
        assert refused(zoom.world.register, meeting_id, email=email, first_name="H") == 3027
    zoom.clock.time = MEETING_START + timedelta(minutes=119)
    zoom.world.register(meeting_id, **ALICE)
    zoom.clock.turn(minutes=1)
    assert refused(zoom.world.register, meeting_id, email="b@x.fr", first_name="B") == 3038
    assert refused(zoom.world.register, 1, **ALICE) == 3001


def test_the_api_adds_like_the_page_and_three_times_a_day(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)
    path = f"/meetings/{meeting_id}/registrants"

    first = zoom.call("POST", path, json=ALICE)
    second = zoom.call("POST", path, json=ALICE)
    third = zoom.call("POST", path, json=ALICE | {"email": "ALICE@example.org"})
    fourth = zoom.call("POST", path, json=ALICE)

    assert first.status_code == 201
    assert first.json() == second.json() == third.json()
    assert first.json()["join_url"].startswith("https://us02web.zoom.us/w/")
    assert fourth.status_code == 429
    assert "daily rate limit of (3)" in fourth.json()["message"]
    zoom.clock.time = datetime(2021, 1, 5, tzinfo=UTC)
    zoom.token = ""
    assert zoom.call("POST", path, json=ALICE).status_code == 201


def test_the_api_adds_without_a_link_where_approval_is_manual(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world, approval_type=1)
    path = f"/meetings/{meeting_id}/registrants"

    waiting = zoom.call("POST", path, json=ALICE).json()
    at_once = {"email": "bob@example.org", "first_name": "Bob", "auto_approve": True}

    assert "join_url" not in waiting
    assert "join_url" in zoom.call("POST", path, json=at_once).json()
    assert listed(zoom, meeting_id) == ["bob@example.org"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "alice"}, "email"),
        ({"email": "a" * 120 + "@example.org"}, "email"),
        ({"first_name": ""}, "first_name"),
        ({"first_name": "x" * 65}, "first_name"),
        ({"last_name": "x" * 65}, "last_name"),
        ({"language": "fr"}, "language"),
        ({"org": 1}, "org"),
        ({"custom_questions": [{"title": "Q", "value": "x" * 129}]}, "custom_questions"),
        ({"custom_questions": ["Q"]}, "custom_questions"),
    ],
)
def test_a_registration_that_zoom_does_not_accept_is_named(
    zoom: Caller, change: dict[str, Any], field: str
) -> None:
    path = f"/meetings/{new_meeting(zoom.world)}/registrants"

    answer = zoom.call("POST", path, json=ALICE | change)

    assert (answer.status_code, answer.json()["code"]) == (400, 300)
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_the_api_refuses_what_zoom_refuses(zoom: Caller) -> None:
    off = new_meeting(zoom.world, approval_type=2)
    on = f"/meetings/{new_meeting(zoom.world)}/registrants"
    not_enabled = f"Registration has not been enabled for this meeting: {off}."

    assert zoom.refusal("POST", "/meetings/1/registrants", json=ALICE)[:2] == (404, 1001)
    assert zoom.refusal("POST", f"/meetings/{off}/registrants", json=ALICE) == (
        400,
        404,
        not_enabled,
    )
    assert zoom.refusal("GET", f"/meetings/{off}/registrants") == (400, 300, not_enabled)
    assert zoom.refusal("POST", on, json=ALICE | {"email": HOST})[:2] == (400, 3027)
    assert zoom.refusal("GET", f"{on}/nobody") == (400, 300, "Invalid registrant id: nobody.")
    assert zoom.refusal("GET", on, status="cancelled")[:2] == (400, 300)


def test_a_listing_of_registrants_is_paged(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)
    emails = [f"p{number:03}@example.org" for number in range(301)]
    for email in emails:
        zoom.world.register(meeting_id, email=email, first_name="P")
    path = f"/meetings/{meeting_id}/registrants"

    first = zoom.get(path, page_size=300).json()
    second = zoom.get(path, page_size=300, next_page_token=first["next_page_token"]).json()

    assert len(zoom.get(path).json()["registrants"]) == 30
    assert (first["total_records"], first["page_count"]) == (301, 2)
    assert [r["email"] for page in (first, second) for r in page["registrants"]] == emails
    assert second["next_page_token"] == ""
    other = zoom.refusal(
        "GET", path, status="denied", page_size=300, next_page_token=first["next_page_token"]
    )
    assert other[:2] == (400, 300)


def test_a_listed_registrant_has_status_link_answers_and_time(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)
    alice = zoom.world.register(meeting_id, **ALICE, answers=[("Où ?", "À Rennes")])

    [line] = zoom.get(f"/meetings/{meeting_id}/registrants").json()["registrants"]

    assert line["id"] == alice.id
    assert line["join_url"] == alice.join_url
    assert line["create_time"] == "2021-01-04T09:00:00Z"
    assert line["custom_questions"] == [{"title": "Où ?", "value": "À Rennes"}]
    assert zoom.get(f"/meetings/{meeting_id}/registrants/{alice.id}").json() == line


def test_the_api_approves_denies_and_cancels_by_email_or_id(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world, approval_type=1)
    path = f"/meetings/{meeting_id}/registrants/status"
    people = [
        zoom.world.register(meeting_id, email=f"{name}@example.org", first_name=name)
        for name in ("a", "b", "c")
    ]

    for action, who in (
        ("approve", {"email": "a@example.org"}),
        ("deny", {"id": people[1].id}),
        ("cancel", {"id": people[2].id, "email": "c@example.org"}),
    ):
        body = {"action": action, "registrants": [who]}
        assert zoom.call("PUT", path, json=body).status_code == 204

    assert [who.status for who in people] == ["approved", "denied", "denied"]
    wrong = {"action": "approve", "registrants": [{"id": "x", "email": "b@example.org"}]}
    assert zoom.refusal("PUT", path, json=wrong)[:2] == (400, 300)
    assert zoom.refusal("PUT", path, json={"action": "delete"})[:2] == (400, 300)
    many = {"action": "deny", "registrants": [{"email": "a@example.org"}] * 31}
    assert zoom.refusal("PUT", path, json=many)[:2] == (400, 300)


def test_the_api_changes_a_status_ten_times_a_day(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)
    zoom.world.register(meeting_id, **ALICE)
    path = f"/meetings/{meeting_id}/registrants/status"
    body = {"action": "approve", "registrants": [{"email": "alice@example.org"}]}
    for _ in range(10):
        assert zoom.call("PUT", path, json=body).status_code == 204

    assert zoom.refusal("PUT", path, json=body)[:2] == (429, 429)


def test_a_deleted_registrant_frees_the_place_and_nobody_is_told(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)
    alice = zoom.world.register(meeting_id, **ALICE)
    zoom.world.subscribe("http://127.0.0.1:9/")

    deleted = zoom.call("DELETE", f"/meetings/{meeting_id}/registrants/{alice.id}")

    assert deleted.status_code == 204
    assert alice.status == "deleted"
    assert listed(zoom, meeting_id) == []
    assert zoom.world.next_delivery_at() is None
    assert zoom.world.register(meeting_id, **ALICE).active


def test_questions_are_replaced(zoom: Caller) -> None:
    path = f"/meetings/{new_meeting(zoom.world)}/registrants/questions"
    body = {
        "questions": [{"field_name": "org", "required": True}],
        "custom_questions": [{"title": "Comment ?", "type": "single", "answers": ["A", "B"]}],
    }

    assert zoom.call("PATCH", path, json=body).status_code == 204

    assert zoom.get(path).json() == {
        "questions": [{"field_name": "org", "required": True}],
        "custom_questions": [
            {"answers": ["A", "B"], "required": False, "title": "Comment ?", "type": "single"}
        ],
    }
    wrong = {"questions": [{"field_name": "email"}]}
    assert zoom.refusal("PATCH", path, json=wrong)[:2] == (400, 300)


def test_attendance_is_known_after_people_have_left(zoom: Caller) -> None:
    meeting_id = new_meeting(zoom.world)
    alice = zoom.world.register(meeting_id, **ALICE)
    past, report = f"/past_meetings/{meeting_id}", f"/report/meetings/{meeting_id}"
    assert zoom.refusal("GET", f"{past}/participants")[:2] == (404, 3001)
    zoom.clock.time = MEETING_START
    zoom.token = ""
    zoom.world.join(meeting_id, "alice@example.org", minutes=30)
    zoom.world.join(meeting_id, "guest@example.org", minutes=90)

    zoom.clock.turn(minutes=30)

    [line] = zoom.get(f"{past}/participants").json()["participants"]
    assert (line["name"], line["user_email"]) == ("Alice Martin", "alice@example.org")
    assert (line["registrant_id"], line["duration"]) == (alice.id, 1800)
    assert line["leave_time"] == "2021-02-09T08:30:00Z"
    [plain] = zoom.get(f"{report}/participants").json()["participants"]
    [full] = zoom.get(f"{report}/participants", include_fields="registrant_id").json()[
        "participants"
    ]
    assert "registrant_id" not in plain
    assert full["registrant_id"] == alice.id


def test_people_may_act_from_many_threads_at_once(zoom: Caller) -> None:
    """One lock: nobody is lost, nobody is there twice, links do not depend on the order."""
    meeting_id = new_meeting(zoom.world)

    def act(number: int) -> str | None:
        email = f"p{number % 50}@example.org"
        return zoom.world.register(meeting_id, email=email, first_name="P").join_url

    with ThreadPoolExecutor(8) as pool:
        links = list(pool.map(act, range(200)))

    assert len(zoom.world.meetings[meeting_id].registrants) == 50
    assert links[:50] == links[50:100] == links[150:]
