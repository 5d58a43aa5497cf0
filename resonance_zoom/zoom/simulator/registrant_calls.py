"""The API's operations on registrants and their questions: a call in, the answer's JSON out."""

from typing import Any

from resonance_zoom.zoom.simulator.account import BASIC, Account
from resonance_zoom.zoom.simulator.calls import Call
from resonance_zoom.zoom.simulator.paging import page
from resonance_zoom.zoom.simulator.records import LISTED, Refusal, SimMeeting, SimRegistrant, stamp
from resonance_zoom.zoom.simulator.validation import json_object, questions, registrant_fields

AT_ONCE = 30


def list_registrants(world: Account, call: Call) -> dict[str, Any]:
    """GET …/registrants: the approved ones unless `status` asks for pending or denied."""
    meeting = _with_registration(world, call)
    status = call.query.get("status") or "approved"
    if status not in LISTED:
        error = {"field": "status", "message": "Invalid field."}
        raise Refusal(400, 300, "Validation Failed.", errors=[error])
    shown = world.now() - max(world.faults.listing_lag, world.faults.registrants_lag)
    theirs = [who for who in meeting.registrants.values() if who.status == status]
    registrants = [who for who in theirs if who.create_time <= shown]
    if len(registrants) < len(theirs):
        world.faults.happened["listing lagged"] += 1
    listing = page(
        registrants, call.query, of=f"registrants {meeting.id} {status}", now=world.now()
    )
    return listing.head | {"registrants": [_line(who) for who in listing.items]}


def add_registrant(world: Account, call: Call) -> dict[str, Any]:
    """POST …/registrants: the link comes back only for somebody approved."""
    try:
        meeting = world.meeting(call.meeting_id)
    except Refusal as refusal:  # here, and here alone, Zoom's code is 1001
        raise Refusal(404, 1001, refusal.message) from refusal
    body = json_object(call.body)
    form = registrant_fields(body)
    world.quotas.add_registrant(world.now(), meeting.id, form.email)
    at_once = meeting.settings["approval_type"] == 1 and body.get("auto_approve") is True
    who = world.add_registrant(
        meeting,
        form,
        status="approved" if at_once else None,
        notify=not world.faults.silent_api_adds,
    )
    answer: dict[str, Any] = {
        "id": meeting.id,
        "registrant_id": who.id,
        "topic": meeting.topic,
        "start_time": stamp(meeting.start_time),
        "participant_pin_code": who.pin_code,
    }
    return answer | ({"join_url": who.join_url} if who.join_url else {})


def get_registrant(world: Account, call: Call) -> dict[str, Any]:
    """GET …/registrants/{registrantId}."""
    return _line(_registrant(_with_registration(world, call), call.args["registrantId"]))


def delete_registrant(world: Account, call: Call) -> None:
    """DELETE …/registrants/{registrantId}: the place is free again, nobody is notified."""
    meeting = _with_registration(world, call)
    world.delete_registrant(_registrant(meeting, call.args["registrantId"]))


def change_status(world: Account, call: Call) -> None:
    """PUT …/registrants/status: approve, cancel or deny up to 30, by e-mail or by id."""
    meeting = _with_registration(world, call)
    body = json_object(call.body)
    action, wanted = body.get("action"), body.get("registrants", [])
    if action not in {"approve", "cancel", "deny"} or not isinstance(wanted, list):
        error = {"field": "action", "message": "Invalid field."}
        raise Refusal(400, 300, "Validation Failed.", errors=[error])
    if len(wanted) > AT_ONCE:
        error = {"field": "registrants", "message": f"The limit is {AT_ONCE} registrants."}
        raise Refusal(400, 300, "Validation Failed.", errors=[error])
    people = [_wanted(meeting, item) for item in wanted]
    for who in people:
        world.quotas.change_status(world.now(), meeting.id, who.email)
    if world.faults.status_changes_ignored:
        world.faults.happened["status change ignored"] += 1
        return
    for who in people:
        world.change_status(meeting, who, action)


def get_questions(world: Account, call: Call) -> dict[str, Any]:
    """GET …/registrants/questions."""
    meeting = _with_registration(world, call)
    return {"questions": meeting.questions, "custom_questions": meeting.custom_questions}


def update_questions(world: Account, call: Call) -> None:
    """PATCH …/registrants/questions: what is sent replaces what was asked."""
    meeting = _with_registration(world, call)
    meeting.questions, meeting.custom_questions = questions(json_object(call.body))


def _with_registration(world: Account, call: Call) -> SimMeeting:
    meeting = world.meeting(call.meeting_id)
    if world.host_type == BASIC:
        raise Refusal(400, 200, f"Only available for paid users: {world.host_email}.")
    if not meeting.registration_on:
        message = f"Registration has not been enabled for this meeting: {meeting.id}."
        raise Refusal(400, 300, message)
    return meeting


def _registrant(meeting: SimMeeting, registrant_id: str) -> SimRegistrant:
    who = meeting.registrants.get(registrant_id)
    if who is None or who.status not in LISTED:
        raise Refusal(400, 300, f"Invalid registrant id: {registrant_id}.")
    return who


def _wanted(meeting: SimMeeting, item: object) -> SimRegistrant:
    """A wrong id is refused even beside the right e-mail; the e-mail alone will do."""
    given = item if isinstance(item, dict) else {}
    if given.get("id"):
        return _registrant(meeting, str(given["id"]))
    who = meeting.registrant(str(given.get("email", "")))
    if who is None or who.status not in LISTED:
        raise Refusal(400, 300, "Invalid registrant email.")
    return who


def _line(who: SimRegistrant) -> dict[str, Any]:
    line: dict[str, Any] = {
        "id": who.id,
        "email": who.email,
        "first_name": who.first_name,
        "last_name": who.last_name,
        **who.details,
        "custom_questions": [{"title": title, "value": value} for title, value in who.answers],
        "status": who.status,
        "create_time": stamp(who.create_time),
        "participant_pin_code": who.pin_code,
    }
    return line | ({"join_url": who.join_url} if who.join_url else {})
