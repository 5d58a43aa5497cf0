"""What we say to Zoom's API, what is repeated, and what each answer becomes."""

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from resonance_zoom.errors import (
    ZoomError,
    ZoomNotFound,
    ZoomRateLimited,
    ZoomRefused,
    ZoomScopeMissing,
    ZoomUnauthorized,
    ZoomUnreachable,
)
from resonance_zoom.zoom import parsing
from resonance_zoom.zoom.client import REQUIRED_SCOPES, Call, ZoomClient, missing_scopes
from resonance_zoom.zoom.payloads import (
    Meeting,
    MeetingRequest,
    MeetingSettings,
    MeetingSummary,
    Registrant,
    User,
)

API, OAUTH = "https://api.zoom.us/v2", "https://zoom.us/oauth/token"
HOST = "organisation@example.org"
MEETINGS = f"{API}/users/{HOST}/meetings"
MEETING = f"{API}/meetings/92674392836"
REGISTRANTS = f"{MEETING}/registrants"
NOW = datetime(2021, 1, 11, 10, tzinfo=UTC)

SPECIFICATION: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "api.openapi.json").read_text()
)
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in SPECIFICATION["paths"].items()
    for method, operation in methods.items()
}

REQUEST = MeetingRequest(
    topic="Accompagner le développement du télétravail",
    agenda="Réf. resonance-2021/teletravail\nOù ?",
    start_time=datetime(2021, 2, 9, 8, tzinfo=UTC),
    duration=120,
    timezone="Europe/Paris",
    settings=MeetingSettings(
        approval_type=0,
        registrants_confirmation_email=False,
        registrants_email_notification=False,
        use_pmi=False,
    ),
)
HELD = {
    "id": 92674392836,
    "uuid": "ab/+c==",
    "host_id": "host-1",
    "topic": "Télétravail",
    "agenda": "Réf. resonance-2021/teletravail",
    "type": 2,
    "status": "waiting",
    "start_time": "2021-02-09T08:00:00Z",
    "timezone": "Europe/Paris",
    "duration": 120,
    "join_url": "https://zoom.us/j/92674392836",
    "start_url": "https://zoom.us/s/92674392836?zak=a-login-of-the-host",
    "registration_url": "https://zoom.us/meeting/register/abc",
    "settings": {
        "approval_type": 0,
        "registrants_confirmation_email": False,
        "registrants_email_notification": False,
        "use_pmi": False,
        "waiting_room": True,
    },
}
ALICE = {
    "id": "alice-1",
    "email": "Alice@Example.org",
    "first_name": "Alice",
    "status": "approved",
    "create_time": "2021-01-10T09:30:00Z",
    "join_url": "https://zoom.us/w/92674392836?tk=alice",
}
BAD_TOKEN = {"code": 124, "message": "Access token is expired."}
PER_SECOND = {
    "code": 429,
    "message": "You have reached the maximum per-second rate limit for this API. Try again later.",
}


class World:
    """A client whose time only passes while it pauses, and what it did."""

    def __init__(self, zoom: responses.RequestsMock) -> None:
        self.zoom = zoom
        self.now = NOW
        self.pauses: list[float] = []
        self.told: list[Call] = []
        self.client = self.open()

    def open(self, **changes: Any) -> ZoomClient:
        given: dict[str, Any] = {
            "api_url": API,
            "oauth_url": OAUTH,
            "account_id": "acc",
            "client_id": "cid",
            "client_secret": "csecret",
            "now": lambda: self.now,
            "sleep": self.pause,
            "random": lambda: 0.5,
            "monotonic": lambda: self.now.timestamp(),
            "on_calls": self.told.extend,
        }
        return ZoomClient(**given | changes)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += timedelta(seconds=seconds)

    def tokens(self, **changes: Any) -> None:
        """Zoom gives out token-1, then token-2, and so on."""
        for number in range(1, 6):
            answer = {
                "access_token": f"token-{number}",
                "token_type": "bearer",
                "expires_in": 3600,
                "scope": "meeting:read:meeting:admin user:read:user:admin",
            } | changes
            self.zoom.post(OAUTH, json=answer)

    def calls(self, to: str = "") -> list[Any]:
        """The requests that went out, to OAuth left out unless asked for."""
        requests_ = [call.request for call in self.zoom.calls]
        return [r for r in requests_ if (r.url.startswith(to) if to else r.url != OAUTH)]

    def refused(self, status: int, answer: Any, **more: Any) -> Any:
        """The error of a GET that is answered so."""
        self.zoom.get(MEETING, status=status, json=answer, **more)
        with pytest.raises(ZoomError) as caught:
            self.client.get_meeting(92674392836)
        return caught.value


@pytest.fixture
def world() -> Iterator[World]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as zoom:
        made = World(zoom)
        with made.client:
            yield made


@pytest.fixture
def at_home(world: World) -> World:
    """A world in which tokens are given out."""
    world.tokens()
    return world


def query(request: Any) -> dict[str, str]:
    return {name: value[0] for name, value in parse_qs(urlsplit(request.url).query).items()}


# ---- the token ---------------------------------------------------------------------------------


def test_the_token_is_asked_for_in_the_body_with_the_apps_credentials(at_home: World) -> None:
    """Zoom refuses the parameters in the query string since 2025."""
    at_home.zoom.get(MEETING, json=HELD)
    at_home.client.get_meeting(92674392836)

    asked, call = (call.request for call in at_home.zoom.calls)
    assert (asked.method, asked.url) == ("POST", OAUTH)
    assert asked.body == "grant_type=account_credentials&account_id=acc"
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")) == b"cid:csecret"
    assert call.headers["Authorization"] == "Bearer token-1"


def test_one_token_serves_many_calls(at_home: World) -> None:
    at_home.zoom.get(MEETING, json=HELD)
    for _ in range(3):
        at_home.client.get_meeting(92674392836)
    assert len(at_home.calls(to=OAUTH)) == 1


def test_a_netrc_does_not_replace_the_token(
    at_home: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine api.zoom.us login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    at_home.zoom.get(MEETING, json=HELD)
    at_home.client.get_meeting(92674392836)
    assert at_home.calls()[0].headers["Authorization"] == "Bearer token-1"


def test_credentials_that_were_pasted_with_a_strange_character_are_refused_by_zoom_not_by_us(
    world: World,
) -> None:
    world.zoom.post(OAUTH, status=400, json={"error": "invalid_client", "reason": "Invalid"})
    with world.open(client_secret="a’b") as client, pytest.raises(ZoomUnauthorized):
        client.granted_scopes()


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (400, {"reason": "Invalid client_id or client_secret", "error": "invalid_client"}),
        (400, {"reason": "unsupported grant type", "error": "unsupported_grant_type"}),
        (400, {"reason": "Bad Request", "error": "invalid_request"}),
        (400, {"code": 4717, "message": "The app has been disabled."}),
        (401, {"errorCode": 1, "anything": "else"}),
        (404, {}),
    ],
)
def test_refused_credentials_say_what_to_compare(
    world: World, status: int, answer: dict[str, Any]
) -> None:
    world.zoom.post(OAUTH, status=status, json=answer)
    with pytest.raises(ZoomUnauthorized) as caught:
        world.client.get_meeting(92674392836)
    assert "ZOOM_ACCOUNT_ID, ZOOM_CLIENT_ID and ZOOM_CLIENT_SECRET" in caught.value.remedy
    assert len(world.zoom.calls) == 1


def test_a_refusal_of_credentials_that_is_not_json_is_one_all_the_same(world: World) -> None:
    world.zoom.post(OAUTH, status=400, body="Bad Request", content_type="text/plain")
    with pytest.raises(ZoomUnauthorized):
        world.client.granted_scopes()


def test_a_token_request_is_repeated_when_zoom_is_down(world: World) -> None:
    world.zoom.post(OAUTH, status=503)
    world.zoom.post(OAUTH, body=requests.ReadTimeout())
    world.tokens()
    assert world.client.granted_scopes() == {
        "meeting:read:meeting:admin",
        "user:read:user:admin",
    }
    assert world.pauses == [1.0, 2.0]


@pytest.mark.parametrize("answer", [{}, {"access_token": 5}, {"access_token": "a\nb"}])
def test_an_answer_without_a_token_is_no_answer(world: World, answer: dict[str, Any]) -> None:
    world.zoom.post(OAUTH, json=answer)
    with pytest.raises(ZoomUnreachable, match="no access token"):
        world.client.granted_scopes()


@pytest.mark.parametrize(
    "answer",
    [(401, BAD_TOKEN), (400, BAD_TOKEN), (401, {}), (400, {"code": 4741, "message": "revoked"})],
)
def test_a_refused_token_is_renewed_and_the_call_repeated_once(
    at_home: World, answer: tuple[int, Any]
) -> None:
    at_home.zoom.post(MEETINGS, status=answer[0], json=answer[1])
    at_home.zoom.post(MEETINGS, status=201, json=HELD)
    assert at_home.client.create_meeting(HOST, REQUEST).id == 92674392836
    assert [call.headers["Authorization"] for call in at_home.calls()] == [
        "Bearer token-1",
        "Bearer token-2",
    ]
    assert at_home.pauses == []


def test_a_token_that_is_refused_again_is_given_up(at_home: World) -> None:
    error = at_home.refused(401, BAD_TOKEN)
    assert isinstance(error, ZoomUnauthorized)
    assert (error.status, error.code) == (401, 124)
    assert "is it activated" in error.remedy
    assert len(at_home.calls()) == 2


def test_sixteen_threads_with_an_expired_token_ask_for_one_new_one(at_home: World) -> None:
    barrier = threading.Barrier(16, timeout=5)

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        if request.headers["Authorization"] == "Bearer token-1":
            barrier.wait()  # all sixteen have been refused before the first one goes on
            return 401, {}, json.dumps(BAD_TOKEN)
        return 200, {}, json.dumps(HELD)

    at_home.client.granted_scopes()
    at_home.zoom.add_callback("GET", MEETING, answer, content_type="application/json")
    with ThreadPoolExecutor(16) as pool:
        meetings = list(pool.map(at_home.client.get_meeting, [92674392836] * 16))
    assert {meeting.id for meeting in meetings} == {92674392836}
    assert len(at_home.calls(to=OAUTH)) == 2


# ---- scopes ------------------------------------------------------------------------------------


def test_a_missing_scope_is_named_and_not_tried_again(at_home: World) -> None:
    error = at_home.refused(
        400,
        {
            "code": 4711,
            "message": "Invalid access token, does not contain scopes:"
            "[meeting:read:meeting:admin, meeting:read:meeting].",
        },
    )
    assert isinstance(error, ZoomScopeMissing)
    assert error.scopes == ("meeting:read:meeting:admin", "meeting:read:meeting")
    assert "meeting:read:meeting:admin" in error.remedy
    assert len(at_home.calls()) == 1


def test_an_older_wording_of_a_missing_scope_is_understood(at_home: World) -> None:
    message = "Invalid access token, does not contain scopes:[meeting:read:admin]"
    assert isinstance(at_home.refused(401, {"code": 4700, "message": message}), ZoomScopeMissing)


def test_a_missing_scope_without_a_name_is_the_one_of_the_call(at_home: World) -> None:
    error = at_home.refused(400, {"code": 4711, "message": "Scope mismatch."})
    assert error.scopes == ("meeting:read:meeting:admin",)


def test_after_a_missing_scope_the_next_call_brings_a_new_token(at_home: World) -> None:
    """Tokens do not gain scopes: without a new one, adding them would help after an hour only."""
    at_home.refused(400, {"code": 4711, "message": "does not contain scopes:[a]"})
    at_home.zoom.replace(responses.GET, MEETING, json=HELD)
    at_home.client.get_meeting(92674392836)
    assert at_home.calls()[-1].headers["Authorization"] == "Bearer token-2"


def test_required_scopes_are_those_of_zooms_specification() -> None:
    for operation, (granular, classic) in REQUIRED_SCOPES.items():
        described = OPERATIONS[operation][2]["x-extensions"]
        assert granular in described["x-granular-scopes"]
        assert classic in described["x-macro-scopes"]


def test_missing_scopes_are_the_granular_ones_unless_a_classic_one_stands_for_them() -> None:
    every = frozenset(names[0] for names in REQUIRED_SCOPES.values())
    assert missing_scopes(every) == []
    assert missing_scopes(every - {"user:read:user:admin"}) == ["user:read:user:admin"]
    assert missing_scopes(frozenset({"meeting:read:admin", "user:read:admin"})) == [
        "meeting:write:meeting:admin",
        "meeting:update:meeting:admin",
        "meeting:delete:registrant:admin",
    ]
    assert missing_scopes(frozenset({"meeting:write:admin"} | every)) == []


# ---- what we send ------------------------------------------------------------------------------


def valid(operation: str, request: Any) -> Any:
    """The body, held against the schema of Zoom's specification."""
    import jsonschema  # here: its grammars cost a second, in every process that collects this

    method, _path, described = OPERATIONS[operation]
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    body = json.loads(request.body)
    jsonschema.validate(body, schema)
    assert request.method == method
    assert set(body) <= set(schema["properties"])
    settings = schema["properties"]["settings"]["properties"]
    assert set(body.get("settings", {})) <= set(settings)
    return body


def test_a_meeting_is_created_as_asked(at_home: World) -> None:
    at_home.zoom.post(MEETINGS, status=201, json=HELD)
    at_home.client.create_meeting(HOST, REQUEST)
    assert valid("meetingCreate", at_home.calls()[0]) == {
        "type": 2,
        "topic": "Accompagner le développement du télétravail",
        "agenda": "Réf. resonance-2021/teletravail\nOù ?",
        "start_time": "2021-02-09T08:00:00Z",
        "duration": 120,
        "timezone": "Europe/Paris",
        "settings": {
            "approval_type": 0,
            "registrants_confirmation_email": False,
            "registrants_email_notification": False,
            "use_pmi": False,
        },
    }


def test_a_change_sends_the_changed_fields_alone(at_home: World) -> None:
    at_home.zoom.patch(MEETING, status=204)
    changes = {"start_time": datetime(2021, 2, 10, 8, tzinfo=UTC), "settings.approval_type": 1}
    at_home.client.update_meeting(92674392836, changes)
    assert valid("meetingUpdate", at_home.calls()[0]) == {
        "start_time": "2021-02-10T08:00:00Z",
        "settings": {"approval_type": 1},
    }


def test_a_deleted_meeting_causes_no_mail_of_zooms(at_home: World) -> None:
    at_home.zoom.delete(MEETING, status=204)
    at_home.client.delete_meeting(92674392836)
    assert at_home.calls()[0].url == MEETING


def test_a_value_in_a_path_stays_one_segment(at_home: World) -> None:
    at_home.zoom.delete(f"{REGISTRANTS}/a%2Fb%3Fc%23%20d", status=204)
    at_home.client.delete_registrant(92674392836, "a/b?c# d")
    assert at_home.calls()[0].url == f"{REGISTRANTS}/a%2Fb%3Fc%23%20d"


def test_no_redirect_is_followed(at_home: World) -> None:
    at_home.zoom.get(MEETING, status=302, headers={"Location": "http://169.254.169.254/"})
    with pytest.raises(ZoomUnreachable, match="unexpected redirect"):
        at_home.client.get_meeting(92674392836)
    assert {call.url for call in at_home.calls()} == {MEETING}


def test_a_redirect_without_a_target_is_no_success_either(at_home: World) -> None:
    at_home.zoom.patch(MEETING, status=304)
    with pytest.raises(ZoomUnreachable, match="unexpected redirect"):
        at_home.client.update_meeting(92674392836, {"topic": "x"})


def test_every_call_has_time_limits(at_home: World) -> None:
    at_home.zoom.get(MEETING, json=HELD)
    at_home.client.get_meeting(92674392836)
    for call in at_home.zoom.calls:
        assert call.request.req_kwargs["timeout"] == (5.0, 20.0)  # type: ignore[attr-defined]


# ---- what comes back ---------------------------------------------------------------------------


def test_a_meeting_is_read_without_the_hosts_login(at_home: World) -> None:
    at_home.zoom.get(MEETING, json=HELD)
    meeting = at_home.client.get_meeting(92674392836)
    assert meeting == Meeting(
        id=92674392836,
        uuid="ab/+c==",
        host_id="host-1",
        topic="Télétravail",
        agenda="Réf. resonance-2021/teletravail",
        type=2,
        start_time=datetime(2021, 2, 9, 8, tzinfo=UTC),
        duration=120,
        timezone="Europe/Paris",
        join_url="https://zoom.us/j/92674392836",
        registration_url="https://zoom.us/meeting/register/abc",
        settings=MeetingSettings(
            approval_type=0,
            registrants_confirmation_email=False,
            registrants_email_notification=False,
            use_pmi=False,
            waiting_room=True,
        ),
        status="waiting",
    )
    assert "a-login-of-the-host" not in repr(meeting)


def test_a_meeting_of_which_zoom_says_little_is_read_too(at_home: World) -> None:
    at_home.zoom.get(MEETING, json={"id": "92674392836"})
    meeting = at_home.client.get_meeting(92674392836)
    assert meeting.id == 92674392836
    assert (meeting.start_time, meeting.registration_url) == (None, None)
    assert meeting.settings == MeetingSettings()


def test_a_user_is_read(at_home: World) -> None:
    answer = {"id": "u1", "email": HOST, "type": 2, "timezone": "Europe/Paris", "status": "active"}
    at_home.zoom.get(f"{API}/users/{HOST}", json=answer)
    assert at_home.client.get_user(HOST) == User("u1", HOST, 2, "Europe/Paris", "active")


def test_a_registrant_is_read(at_home: World) -> None:
    at_home.zoom.get(f"{REGISTRANTS}/alice-1", json=ALICE)
    assert at_home.client.get_registrant(92674392836, "alice-1") == Registrant(
        id="alice-1",
        email="Alice@Example.org",
        first_name="Alice",
        last_name="",
        status="approved",
        join_url="https://zoom.us/w/92674392836?tk=alice",
        create_time=datetime(2021, 1, 10, 9, 30, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"id": None},
        {"id": "abc"},
        {"id": -1},
        HELD | {"start_time": "soon"},
        HELD | {"start_time": "0001-01-01T00:00:00+14:00"},
    ],
)
def test_a_meeting_that_cannot_be_one_is_no_answer(at_home: World, answer: Any) -> None:
    at_home.zoom.get(MEETING, json=answer)
    with pytest.raises(ZoomUnreachable, match="cannot be read"):
        at_home.client.get_meeting(92674392836)


def test_what_a_database_cannot_hold_is_let_go_of() -> None:
    read = parsing.registrant(ALICE | {"first_name": "A\0l\ud83dice"})
    assert read.first_name == "Al?ice"


@given(
    st.dictionaries(
        st.sampled_from([*HELD, *ALICE]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=3,
        ),
    )
)
@limits(max_examples=150, deadline=None)
def test_whatever_the_fields_hold_it_is_read_or_a_value_error(answer: dict[str, Any]) -> None:
    for read in (parsing.meeting, parsing.meeting_summary, parsing.registrant, parsing.user):
        try:
            read(answer)
        except ValueError:
            continue


# ---- lists -------------------------------------------------------------------------------------


def pages(world: World, url: str, name: str, *lines: list[Any]) -> None:
    """Zoom's list in so many pages, each naming the next."""
    for number, page in enumerate(lines):
        token = f"page-{number + 1}" if number + 1 < len(lines) else ""
        here = {"next_page_token": f"page-{number}"} if number else {}
        world.zoom.get(
            url,
            json={name: page, "next_page_token": token},
            match=[responses.matchers.query_param_matcher(here, strict_match=False)],
        )


def test_every_page_of_a_hosts_meetings_is_read(at_home: World) -> None:
    first, second, third = ({"id": n, "topic": f"n° {n}"} for n in (1, 2, 3))
    pages(at_home, MEETINGS, "meetings", [first, second], [], [third])
    assert [meeting.id for meeting in at_home.client.list_meetings(HOST)] == [1, 2, 3]
    assert [query(call) for call in at_home.calls()] == [
        {"type": "scheduled", "page_size": "300"},
        {"type": "scheduled", "page_size": "300", "next_page_token": "page-1"},
        {"type": "scheduled", "page_size": "300", "next_page_token": "page-2"},
    ]


def test_a_line_of_a_hosts_meetings_is_read(at_home: World) -> None:
    pages(at_home, MEETINGS, "meetings", [HELD])
    assert at_home.client.list_meetings(HOST) == [
        MeetingSummary(
            id=92674392836,
            topic="Télétravail",
            agenda="Réf. resonance-2021/teletravail",
            start_time=datetime(2021, 2, 9, 8, tzinfo=UTC),
            duration=120,
            timezone="Europe/Paris",
        )
    ]


def test_every_page_of_registrants_is_read(at_home: World) -> None:
    people = [ALICE | {"email": f"{name}@example.org"} for name in ("a", "b", "c")]
    pages(at_home, REGISTRANTS, "registrants", people[:2], people[2:])
    found = list(at_home.client.registrant_pages(92674392836, "pending"))
    assert [[person.email for person in page] for page in found] == [
        ["a@example.org", "b@example.org"],
        ["c@example.org"],
    ]
    assert [query(call)["status"] for call in at_home.calls()] == ["pending", "pending"]
    assert [query(call)["page_size"] for call in at_home.calls()] == ["300", "300"]


def test_a_fault_on_the_second_page_raises_after_the_first_was_handed_out(at_home: World) -> None:
    at_home.zoom.get(REGISTRANTS, json={"registrants": [ALICE], "next_page_token": "p2"})
    at_home.zoom.get(
        REGISTRANTS, status=400, json={"code": 300, "message": "next_page_token is expired"}
    )
    listing = at_home.client.registrant_pages(92674392836, "approved")
    assert [person.id for person in next(listing)] == ["alice-1"]
    with pytest.raises(ZoomRefused):
        next(listing)


@pytest.mark.parametrize("answer", [{}, {"registrants": None}, {"registrants": {}}])
def test_a_page_without_its_lines_is_broken_and_not_empty(at_home: World, answer: Any) -> None:
    """Everybody would seem to have left."""
    at_home.zoom.get(REGISTRANTS, json=answer)
    with pytest.raises(ZoomUnreachable):
        list(at_home.client.registrant_pages(92674392836, "approved"))


@pytest.mark.parametrize("line", [{"id": "bob"}, {"email": "bob"}, None, [], {"email": "a\n@b"}])
def test_a_line_that_cannot_be_read_keeps_the_listing_from_being_complete(
    at_home: World, line: Any
) -> None:
    pages(at_home, REGISTRANTS, "registrants", [line, ALICE], [ALICE])
    listing = at_home.client.registrant_pages(92674392836, "approved")
    assert [len(next(listing)), len(next(listing))] == [1, 1]
    with pytest.raises(ZoomUnreachable, match="1 of the approved registrants"):
        next(listing)


def test_a_list_that_comes_back_to_the_same_page_is_ended(at_home: World) -> None:
    at_home.zoom.get(REGISTRANTS, json={"registrants": [ALICE], "next_page_token": "again"})
    with pytest.raises(ZoomUnreachable, match="does not end"):
        list(at_home.client.registrant_pages(92674392836, "approved"))
    assert len(at_home.calls()) == 2


def test_a_list_without_an_end_is_ended(at_home: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resonance_zoom.zoom.client.MAX_PAGES", 20)

    def answer(_request: Any) -> tuple[int, dict[str, str], str]:
        token = f"page-{len(at_home.zoom.calls)}"
        return 200, {}, json.dumps({"meetings": [], "next_page_token": token})

    at_home.zoom.add_callback("GET", MEETINGS, answer, content_type="application/json")
    with pytest.raises(ZoomUnreachable, match="does not end"):
        at_home.client.list_meetings(HOST)
    assert len(at_home.calls()) == 20


# ---- faults: what is repeated ------------------------------------------------------------------

FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500, "json": {"code": 500, "message": "Internal error"}},
    "502 page": {"status": 502, "body": "<html>", "content_type": "text/html"},
    "200 page": {"body": "<html>", "content_type": "text/html"},
    "404 page": {"status": 404, "body": "<html>", "content_type": "text/html"},
    "wrong type": {"body": json.dumps(HELD), "content_type": "text/plain"},
    "half": {"body": json.dumps(HELD)[:50], "content_type": "application/json"},
    "empty": {"body": "", "content_type": "application/json"},
    "a list": {"json": [HELD]},
    "NaN": {"body": '{"id": NaN}', "content_type": "application/json"},
    "deep": {"body": "[" * 100_000, "content_type": "application/json"},
    "digits": {"body": '{"id": ' + "9" * 5000 + "}", "content_type": "application/json"},
    "not UTF-8": {"body": b'{"id": "\xff"}', "content_type": "application/json"},
    "read timeout": {"body": requests.ReadTimeout()},
    "reset": {"body": requests.ConnectionError("reset")},
    "cut off": {"body": requests.exceptions.ChunkedEncodingError()},
    "TLS": {"body": requests.exceptions.SSLError()},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_read_is_repeated_after_a_fault(at_home: World, fault: str) -> None:
    at_home.zoom.get(MEETING, **FAULTS[fault])
    at_home.zoom.get(MEETING, json=HELD)
    assert at_home.client.get_meeting(92674392836).id == 92674392836
    assert at_home.pauses == [1.0]


@pytest.mark.parametrize("fault", FAULTS)
def test_after_four_attempts_zoom_is_unreachable(at_home: World, fault: str) -> None:
    at_home.zoom.get(MEETING, **FAULTS[fault])
    with pytest.raises(ZoomUnreachable):
        at_home.client.get_meeting(92674392836)
    assert len(at_home.calls()) == 4
    assert at_home.pauses == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(("drawn", "pauses"), [(0.0, [0.5, 1.0, 2.0]), (1.0, [1.5, 3.0, 6.0])])
def test_pauses_are_spread_so_that_clients_do_not_march_in_step(
    at_home: World, drawn: float, pauses: list[float]
) -> None:
    at_home.zoom.get(MEETING, status=503)
    with at_home.open(random=lambda: drawn) as client, pytest.raises(ZoomUnreachable):
        client.get_meeting(92674392836)
    assert at_home.pauses == pauses


@pytest.mark.parametrize("fault", FAULTS)
def test_a_create_whose_effect_is_unknown_is_never_repeated(at_home: World, fault: str) -> None:
    """Zoom has no idempotency key: a second POST would be a second meeting."""
    at_home.zoom.post(MEETINGS, **FAULTS[fault])
    with pytest.raises(ZoomUnreachable) as caught:
        at_home.client.create_meeting(HOST, REQUEST)
    assert caught.value.maybe_done
    assert len(at_home.calls()) == 1


def test_a_created_meeting_that_cannot_be_read_may_exist(at_home: World) -> None:
    at_home.zoom.post(MEETINGS, status=201, json={"topic": "without an id"})
    with pytest.raises(ZoomUnreachable) as caught:
        at_home.client.create_meeting(HOST, REQUEST)
    assert caught.value.maybe_done


def test_a_create_is_repeated_when_zoom_was_never_reached(at_home: World) -> None:
    at_home.zoom.post(MEETINGS, body=requests.ConnectTimeout())
    at_home.zoom.post(MEETINGS, status=201, json=HELD)
    assert at_home.client.create_meeting(HOST, REQUEST).id == 92674392836


def test_a_refused_connection_has_surely_done_nothing(at_home: World) -> None:
    """Real sockets: nobody listens on port 9 of the loopback."""
    at_home.zoom.add_passthru("http://127.0.0.1:9")
    with (
        at_home.open(api_url="http://127.0.0.1:9") as client,
        pytest.raises(ZoomUnreachable) as caught,
    ):
        client.create_meeting(HOST, REQUEST)
    assert not caught.value.maybe_done
    assert [call.attempt for call in at_home.told if call.operation == "meetingCreate"] == [
        1,
        2,
        3,
        4,
    ]


def test_a_create_for_which_no_token_could_be_had_was_not_sent(world: World) -> None:
    world.zoom.post(OAUTH, body=requests.ReadTimeout())
    with pytest.raises(ZoomUnreachable) as caught:
        world.client.create_meeting(HOST, REQUEST)
    assert not caught.value.maybe_done
    assert world.calls() == []


@pytest.mark.parametrize("fault", ["500", "read timeout", "reset"])
def test_changes_and_deletions_are_safe_to_repeat(at_home: World, fault: str) -> None:
    for method in ("PATCH", "DELETE"):
        at_home.zoom.add(method, MEETING, **FAULTS[fault])
        at_home.zoom.add(method, MEETING, status=204)
    at_home.client.update_meeting(92674392836, {"topic": "x"})
    at_home.client.delete_meeting(92674392836)
    assert len(at_home.calls()) == 4


def test_a_deletion_whose_answer_was_lost_is_done_when_it_is_found_gone(at_home: World) -> None:
    at_home.zoom.delete(MEETING, body=requests.ReadTimeout())
    at_home.zoom.delete(MEETING, status=404, json={"code": 3001, "message": "does not exist"})
    at_home.client.delete_meeting(92674392836)


def test_deleting_what_is_not_there_is_told(at_home: World) -> None:
    at_home.zoom.delete(MEETING, status=404, json={"code": 3001, "message": "does not exist"})
    with pytest.raises(ZoomNotFound):
        at_home.client.delete_meeting(92674392836)


def test_a_call_ends_within_a_minute_however_slow_zoom_is(at_home: World) -> None:
    def slow(request: Any) -> None:
        at_home.now += timedelta(seconds=request.req_kwargs["timeout"][1])
        raise requests.ReadTimeout

    at_home.client.granted_scopes()
    at_home.zoom.add_callback("GET", MEETING, slow)
    with pytest.raises(ZoomUnreachable):
        at_home.client.get_meeting(92674392836)
    assert len(at_home.calls()) == 3  # 20 s + 1 s + 20 s + 2 s + what is left
    assert at_home.calls()[-1].req_kwargs["timeout"] == (5.0, pytest.approx(17.0))
    assert at_home.now - NOW <= timedelta(seconds=60)


# ---- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["7", "2021-01-11T10:00:07Z", "Mon, 11 Jan 2021 10:00:07 GMT"])
def test_zooms_time_to_come_back_is_kept_in_each_of_its_forms(at_home: World, header: str) -> None:
    at_home.zoom.get(MEETING, status=429, json=PER_SECOND, headers={"Retry-After": header})
    at_home.zoom.get(MEETING, json=HELD)
    at_home.client.get_meeting(92674392836)
    assert at_home.pauses == [7.0]


@pytest.mark.parametrize("header", [None, "", "soon", "0", "-5", "2020-01-01T00:00:00Z", "1e99"])
def test_without_a_usable_time_it_backs_off(at_home: World, header: str | None) -> None:
    headers = {"Retry-After": header} if header is not None else {}
    at_home.zoom.get(MEETING, status=429, json=PER_SECOND, headers=headers)
    with pytest.raises(ZoomRateLimited) as caught:
        at_home.client.get_meeting(92674392836)
    assert at_home.pauses == [1.0, 2.0, 4.0]
    assert (caught.value.retry_after, caught.value.daily) == (1.0, False)


def test_a_limit_is_waited_for_three_times_at_most(at_home: World) -> None:
    at_home.zoom.get(MEETING, status=429, json=PER_SECOND, headers={"Retry-After": "7"})
    with pytest.raises(ZoomRateLimited):
        at_home.client.get_meeting(92674392836)
    assert at_home.pauses == [7.0, 7.0, 7.0]


@pytest.mark.parametrize(
    ("header", "retry_after"),
    [("61", 61.0), ("86400", 3600.0), ("9" * 400, 3600.0), ("2021-01-11T10:30:00Z", 1800.0)],
)
def test_a_longer_wait_goes_up_to_the_caller_an_hour_at_most(
    at_home: World, header: str, retry_after: float
) -> None:
    error = at_home.refused(429, PER_SECOND, headers={"Retry-After": header})
    assert isinstance(error, ZoomRateLimited)
    assert (error.retry_after, error.daily, error.code) == (retry_after, False, 429)
    assert at_home.pauses == []


@pytest.mark.parametrize(
    ("message", "headers"),
    [
        ("You have reached the maximum daily rate limit for this API.", {"Retry-After": "5"}),
        ("You have exceeded the daily rate limit (100) of Meeting Create/Update", {}),
        ("Too many requests.", {"X-RateLimit-Type": "Daily-limit"}),
    ],
)
def test_a_daily_limit_ends_at_midnight_utc(
    at_home: World, message: str, headers: dict[str, str]
) -> None:
    error = at_home.refused(429, {"code": 429, "message": message}, headers=headers)
    assert isinstance(error, ZoomRateLimited)
    assert (error.retry_after, error.daily) == (14 * 3600.0, True)
    assert at_home.pauses == []


def test_a_daily_limit_is_not_waited_for_even_just_before_midnight(at_home: World) -> None:
    at_home.now = NOW.replace(hour=23, minute=59, second=50)
    error = at_home.refused(429, {"code": 429, "message": "the maximum daily rate limit"})
    assert (error.retry_after, error.daily) == (10.0, True)
    assert at_home.pauses == []


def test_a_limit_of_a_proxy_before_zoom_is_a_limit_too(at_home: World) -> None:
    at_home.zoom.get(MEETING, status=429, body="<html>", headers={"Retry-After": "3"})
    at_home.zoom.get(MEETING, json=HELD)
    at_home.client.get_meeting(92674392836)
    assert at_home.pauses == [3.0]


def test_a_create_is_repeated_after_a_limit_on_which_zoom_did_nothing(at_home: World) -> None:
    at_home.zoom.post(MEETINGS, status=429, json=PER_SECOND)
    at_home.zoom.post(MEETINGS, status=201, json=HELD)
    assert at_home.client.create_meeting(HOST, REQUEST).id == 92674392836


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "error", "remedy"),
    [
        (404, 3001, ZoomNotFound, "Recently Deleted"),
        (400, 3001, ZoomNotFound, "Recently Deleted"),
        (404, 1001, ZoomNotFound, "zoom_host"),
        (400, 1001, ZoomNotFound, "zoom_host"),
        (404, 2300, ZoomNotFound, ""),
        (400, 200, ZoomRefused, "plan"),
        (400, 300, ZoomRefused, "campaign file"),
        (400, 1120, ZoomRefused, "invitation"),
        (400, 3000, ZoomRefused, "role"),
        (400, 3027, ZoomRefused, "host"),
        (400, 3038, ZoomRefused, "over"),
        (400, 3161, ZoomRefused, "Meetings licence"),
        (403, 2306, ZoomRefused, ""),
        (400, 404, ZoomRefused, ""),
    ],
)
def test_a_refusal_has_zooms_code_and_message_and_what_to_do(
    at_home: World, status: int, code: int, error: type[ZoomError], remedy: str
) -> None:
    raised = at_home.refused(status, {"code": code, "message": "In Zoom's words."})
    assert type(raised) is error
    assert (raised.status, raised.code) == (status, code)
    assert raised.message == f"Zoom answered {status}, code {code}: In Zoom's words."
    assert remedy in raised.remedy
    assert len(at_home.calls()) == 1


def test_a_validation_error_names_the_fields(at_home: World) -> None:
    errors = [{"field": "topic", "message": "too long"}, {"field": "duration", "message": "odd"}]
    error = at_home.refused(
        400, {"code": 300, "message": "Validation Failed.", "errors": [*errors, "?"]}
    )
    assert error.message == (
        "Zoom answered 400, code 300: Validation Failed.; topic: too long; duration: odd"
    )


@pytest.mark.parametrize(
    "answer", [{}, {"code": "x"}, {"code": None, "message": ["?"]}, {"errors": "?"}]
)
def test_a_refusal_in_another_shape_is_one_all_the_same(at_home: World, answer: Any) -> None:
    assert isinstance(at_home.refused(400, answer), ZoomRefused)


def test_no_address_and_no_token_gets_into_an_error(at_home: World) -> None:
    token = "eyJhbGciOiJIUzUxMiJ9.e30.c2ln"
    error = at_home.refused(
        400,
        {
            "code": 300,
            "message": f"User <Alice@example.org> (bob%40example.org), {token}:\r\nno\x1b[31m.",
            "errors": [{"field": "email", "message": "chen.li+x@sub.example.org"}],
        },
    )
    assert error.message == (
        "Zoom answered 400, code 300:"
        " User <(address)> ((address)), (token): no?[31m.; email: (address)"
    )
    assert at_home.told[-1].error == error.message


def test_a_long_message_is_cut(at_home: World) -> None:
    assert len(at_home.refused(400, {"code": 300, "message": "x" * 100_000}).message) < 600


def test_the_errors_of_faults_hold_no_secret(at_home: World) -> None:
    secret = "Bearer token-1 csecret organisation@example.org"
    at_home.zoom.post(MEETINGS, body=requests.ConnectionError(secret))
    with pytest.raises(ZoomUnreachable) as caught:
        at_home.client.create_meeting(HOST, REQUEST)
    assert caught.value.message == "no answer from Zoom (ConnectionError)"
    shown = repr(at_home.client) + repr(at_home.told)
    assert not [word for word in secret.split() if word in shown]


# ---- the journal and the clock -----------------------------------------------------------------


def test_every_http_call_is_told_as_it_went(at_home: World) -> None:
    at_home.zoom.patch(MEETING, status=401, json=BAD_TOKEN)
    at_home.zoom.patch(MEETING, status=503)
    at_home.zoom.patch(MEETING, body=requests.ReadTimeout())
    at_home.zoom.patch(MEETING, status=204)
    at_home.client.update_meeting(92674392836, {"topic": "x"})
    token = Call("token", None, 200, 0.0, None, 1)
    assert at_home.told == [
        token,
        Call(
            "meetingUpdate",
            92674392836,
            401,
            0.0,
            "Zoom answered 401, code 124: Access token is expired.",
            1,
        ),
        token,
        Call("meetingUpdate", 92674392836, 503, 0.0, "Zoom answered 503", 2),
        Call("meetingUpdate", 92674392836, 0, 0.0, "no answer from Zoom (ReadTimeout)", 3),
        Call("meetingUpdate", 92674392836, 204, 0.0, None, 4),
    ]


@pytest.mark.parametrize(
    ("date", "skew"),
    [
        ("Mon, 11 Jan 2021 10:02:30 GMT", timedelta(seconds=150)),
        ("Mon, 11 Jan 2021 09:59:00 GMT", timedelta(seconds=-60)),
        ("Mon, 11 Jan 2021 10:00:01 -0000", timedelta(seconds=1)),
        ("yesterday", None),
        ("Mon, 11 Jan 99999999999999999999 10:00:00 GMT", None),
    ],
)
def test_zooms_clock_is_compared_with_ours(
    at_home: World, date: str, skew: timedelta | None
) -> None:
    assert at_home.client.clock_skew is None
    at_home.zoom.get(MEETING, json=HELD, headers={"Date": date})
    at_home.client.get_meeting(92674392836)
    assert at_home.client.clock_skew == skew


def test_a_renewed_token_is_asked_for_two_minutes_before_the_old_one_ends(at_home: World) -> None:
    at_home.zoom.get(MEETING, json=HELD)
    at_home.client.get_meeting(92674392836)
    at_home.now = NOW + timedelta(minutes=58)
    at_home.client.get_meeting(92674392836)
    assert at_home.calls()[-1].headers["Authorization"] == "Bearer token-2"


@pytest.mark.parametrize("life", ["3600", None, 3599.5])
def test_a_token_whose_life_is_not_told_lasts_an_hour(world: World, life: Any) -> None:
    world.tokens(expires_in=life)
    world.zoom.get(MEETING, json=HELD)
    for minutes in (0, 57, 58):
        world.now = NOW + timedelta(minutes=minutes)
        world.client.get_meeting(92674392836)
    assert len(world.calls(to=OAUTH)) == 2


def test_a_closed_client_keeps_no_connection(at_home: World) -> None:
    at_home.zoom.get(MEETING, json=HELD)
    with closing(at_home.open()) as client:
        client.get_meeting(92674392836)
        assert len(client._wire._idle) == 1
    client.get_meeting(92674392836)
    assert client._wire._idle == []
