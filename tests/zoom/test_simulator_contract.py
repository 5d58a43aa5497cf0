"""Every answer and every notification of the simulator is one that Zoom's own schemas allow."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from resonance_zoom.zoom.simulator import SimulatedZoom, SimulatorServer
from resonance_zoom.zoom.simulator.account import SCOPES
from resonance_zoom.zoom.simulator.api import OPERATIONS

from .simulated import HOST, Caller, Clock, Receiver, receiver, wanted

DATA = Path(__file__).parent / "data"
API: dict[str, Any] = json.loads((DATA / "api.openapi.json").read_text())
EVENTS: dict[str, Any] = json.loads((DATA / "webhooks.schema.json").read_text())
DESCRIBED = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in API["paths"].items()
    for method, operation in methods.items()
}
UPDATED = EVENTS["meeting.updated"]["properties"]["payload"]["properties"]
UPDATED["old_object"] = UPDATED["object"]  # the reference in the publication leads outside of it
PEOPLE = (("Alice@Example.org", "Zoë 🙂"), ("bob@example.org", "Bob"), ("chen@example.org", "陈"))


@pytest.fixture
def campaign() -> Iterator["Campaign"]:
    world = SimulatedZoom(now=(clock := Clock()))
    with SimulatorServer(world) as server, requests.Session() as session, receiver() as box:
        world.subscribe(box.url)
        yield Campaign(Caller(server, session, clock), box)


def fits(value: Any, schema: Any) -> None:
    import jsonschema  # here: its grammars cost a second, in every process that collects this

    jsonschema.validate(value, schema, format_checker=jsonschema.FormatChecker())


class Campaign:
    def __init__(self, zoom: Caller, box: Receiver) -> None:
        self.zoom, self.clock, self.world, self.box = zoom, zoom.clock, zoom.world, box
        self.answered: dict[str, list[Any]] = {}

    def call(self, operation: str, *, json: object = None, **given: Any) -> Any:
        """Calls by operationId and holds the answer against the schema."""
        method, path, described = DESCRIBED[operation]
        for name in ("userId", "meetingId", "registrantId"):
            path = path.replace(f"{{{name}}}", str(given.pop(name, "")))
        answer = self.zoom.call(method, path, json=json, **given)
        assert str(answer.status_code) in described["responses"], answer.text
        content = described["responses"][str(answer.status_code)].get("content")
        value = answer.json() if answer.content else None
        if content:
            schema = content["application/json"]["schema"]
            fits(value, schema)
            assert unknown_keys(value, schema) == set()
        else:
            assert value is None
        self.answered.setdefault(operation, []).append(value)
        return value

    def run(self) -> None:
        """A meeting from its creation to its end, with every operation and every event."""
        self.call("user", userId=HOST)
        meeting_id = self.call("meetingCreate", userId=HOST, json=wanted())["id"]
        at = {"meetingId": meeting_id}
        self.call("meetingUpdate", **at, json={"topic": "Autre", "settings": {"approval_type": 1}})
        self.call(
            "meetingRegistrantQuestionUpdate",
            **at,
            json={
                "questions": [{"field_name": "org", "required": True}],
                "custom_questions": [{"title": "Pourquoi ?", "type": "short"}],
            },
        )
        self.call("meetingRegistrantsQuestionsGet", **at)
        for email, name in PEOPLE:
            self.world.register(meeting_id, email=email, first_name=name, answers=[("Où ?", "Ici")])
        body = {"email": "dora@example.org", "first_name": "Dora", "org": "Mairie"}
        dora = self.call("meetingRegistrantCreate", **at, json=body)["registrant_id"]
        approval = {"action": "approve", "registrants": [{"email": e} for e, _ in PEOPLE[:2]]}
        self.call("meetingRegistrantStatus", **at, json=approval)
        self.world.deny(meeting_id, email="chen@example.org")
        self.world.cancel(meeting_id, email="bob@example.org")
        for status in ("approved", "pending", "denied"):
            lines = self.call("meetingRegistrants", **at, status=status)["registrants"]
            assert len(lines) == 1
        self.call("meetingRegistrantGet", **at, registrantId=dora)
        self.call("meetingregistrantdelete", **at, registrantId=dora)
        self.call("meetings", userId=HOST)
        self.call("meeting", **at)
        self.attend(meeting_id)
        self.call("meetingDelete", **at)
        self.world.recover_meeting(meeting_id)
        self.world.delete_meeting(meeting_id)
        self.world.purge_meeting(meeting_id)
        self.world.deliver_due()

    def attend(self, meeting_id: int) -> None:
        self.clock.time = self.world.meetings[meeting_id].start_time
        self.zoom.token = ""
        self.world.start_meeting(meeting_id)
        self.world.join(meeting_id, "alice@example.org", minutes=110)
        self.clock.turn(minutes=115)
        self.world.end_meeting(meeting_id)
        self.zoom.token = ""
        twice_encoded = quote(quote(self.world.meetings[meeting_id].uuid, safe=""), safe="")
        self.call("pastMeetingParticipants", meetingId=twice_encoded)
        self.call("reportMeetingParticipants", meetingId=meeting_id, include_fields="registrant_id")


def unknown_keys(value: Any, schema: dict[str, Any]) -> set[str]:
    """Keys that the schema does not name; JSON Schema itself lets them pass."""
    schemas = list(branches(schema))
    if isinstance(value, list):
        items = {"allOf": [s["items"] for s in schemas if "items" in s]}
        return {key for item in value for key in unknown_keys(item, items)}
    if not isinstance(value, dict):
        return set()
    properties = {n: p for s in schemas for n, p in s.get("properties", {}).items()}
    unknown = value.keys() - properties.keys()
    for name in value.keys() & properties.keys():
        unknown |= unknown_keys(value[name], properties[name])
    return unknown


def branches(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ())):
        yield from branches(part)


def test_every_answer_of_every_operation_fits_the_published_schema(campaign: Campaign) -> None:
    """All 15 operations over HTTP, answers checked as they come, keys that Zoom lacks refused."""
    campaign.run()

    assert set(campaign.answered) == set(DESCRIBED)
    assert len(DESCRIBED) == 15
    assert campaign.answered["pastMeetingParticipants"][0]["total_records"] == 1


def test_every_notification_fits_the_published_schema(campaign: Campaign) -> None:
    """All 13 events as they arrive at the receiver."""
    campaign.run()

    for received in campaign.box.requests:
        schema = EVENTS[received.json["event"]]
        fits(received.json, schema)
        assert unknown_keys(received.json, schema) <= {"operation"}
    assert set(campaign.box.events) == set(EVENTS)
    assert len(EVENTS) == 13


def test_the_operations_are_the_published_ones() -> None:
    """Method, path and scope of each operation are Zoom's."""
    ours = {operation.name: operation for operation in OPERATIONS}

    assert set(ours) == set(DESCRIBED)
    for name, (method, path, described) in DESCRIBED.items():
        assert (ours[name].method, ours[name].path) == (method, path)
        assert ours[name].scope in described["x-extensions"]["x-granular-scopes"]
        assert ours[name].scope in SCOPES


def test_a_host_login_is_in_every_answer_with_a_whole_meeting(campaign: Campaign) -> None:
    """start_url is there to be dropped: what stores it can be caught."""
    campaign.run()

    for operation in ("meetingCreate", "meeting"):
        [meeting] = campaign.answered[operation]
        assert meeting["start_url"].startswith(f"https://us02web.zoom.us/s/{meeting['id']}?zak=")
