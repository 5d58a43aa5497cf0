"""The API's operations on users, meetings and attendance: a call in, the answer's JSON out."""

from dataclasses import replace
from datetime import date, datetime
from typing import Any
from urllib.parse import unquote

from resonance_zoom.zoom.simulator.account import BASIC, LICENSED, Account
from resonance_zoom.zoom.simulator.calls import Call
from resonance_zoom.zoom.simulator.paging import page
from resonance_zoom.zoom.simulator.records import (
    Refusal,
    SimMeeting,
    SimParticipant,
    stamp,
)
from resonance_zoom.zoom.simulator.validation import MeetingChanges, json_object, meeting_changes

AGENDA_IN_LISTS = 250
LISTS = {"scheduled", "live", "upcoming", "upcoming_meetings", "previous_meetings"}


def get_user(world: Account, call: Call) -> dict[str, Any]:
    """GET /users/{userId}."""
    _host(world, call)
    return {
        "id": world.host_id,
        "account_id": world.account_id,
        "email": world.host_email,
        "first_name": "Mission",
        "last_name": "Résonance",
        "display_name": "Mission Résonance",
        "type": world.host_type,
        "timezone": world.timezone,
        "status": "active",
        "verified": 1,
        "use_pmi": False,
        "pmi": world.ids.meeting_id(0),
        "language": "fr-FR",
        "role_name": "Owner",
    }


def list_meetings(world: Account, call: Call) -> dict[str, Any]:
    """GET /users/{userId}/meetings: agenda cut at 250 characters, no settings."""
    _host(world, call)
    kind = call.query.get("type") or "scheduled"
    if kind not in LISTS:
        raise Refusal(400, 300, "Validation Failed.", errors=[_invalid("type")])
    first, last = _day(call, "from", date.min), _day(call, "to", date.max)
    meetings = [
        meeting
        for meeting in world.meetings.values()
        if _listed(meeting, kind, world.now()) and first <= meeting.start_time.date() <= last
    ]
    shown = world.now() - world.faults.listing_lag
    meetings = [meeting for meeting in meetings if meeting.created_at <= shown]
    meetings.sort(key=lambda meeting: (meeting.start_time, meeting.id))
    listing = page(meetings, call.query, of=f"meetings {kind}", now=world.now())
    return listing.head | {"meetings": [_line(meeting) for meeting in listing.items]}


def create_meeting(world: Account, call: Call) -> dict[str, Any]:
    """POST /users/{userId}/meetings."""
    _host(world, call)
    if world.host_type not in {BASIC, LICENSED}:
        raise Refusal(
            400,
            3161,
            "Your user account is not allowed meeting hosting and scheduling capabilities.",
        )
    world.quotas.write_meeting(world.now(), world.host_id)
    changes = meeting_changes(json_object(call.body), zone=world.timezone)
    faults = world.faults
    ignored = faults.drop_settings_on_create | faults.drop_settings_on_write
    changes = _without(world, changes, ignored)
    return _whole(world, world.add_meeting(changes, source="open_api"))


def get_meeting(world: Account, call: Call) -> dict[str, Any]:
    """GET /meetings/{meetingId}."""
    return _whole(world, world.meeting(call.meeting_id))


def update_meeting(world: Account, call: Call) -> None:
    """PATCH /meetings/{meetingId}."""
    meeting = world.meeting(call.meeting_id)
    world.quotas.write_meeting(world.now(), world.host_id)
    changes = meeting_changes(json_object(call.body), zone=meeting.timezone)
    changes = _without(world, changes, world.faults.drop_settings_on_write)
    world.change_meeting(meeting, changes)


def delete_meeting(world: Account, call: Call) -> None:
    """DELETE /meetings/{meetingId}."""
    meeting = world.meeting(call.meeting_id)
    if meeting.status == "started":
        raise Refusal(400, 3002, "Sorry, you cannot delete this meeting since it is in progress.")
    world.trash_meeting(meeting)


def past_participants(world: Account, call: Call) -> dict[str, Any]:
    """GET /past_meetings/{meetingId}/participants."""
    meeting = _held(world, call)
    listing = page(_left(world, meeting), call.query, of=f"past {meeting.id}", now=world.now())
    lines = [
        _attendance(who) | {"registrant_id": who.registrant_id, "internal_user": False}
        for who in listing.items
    ]
    return listing.head | {"participants": lines}


def report_participants(world: Account, call: Call) -> dict[str, Any]:
    """GET /report/meetings/{meetingId}/participants; registrant_id only when asked for."""
    meeting = _held(world, call)
    listing = page(_left(world, meeting), call.query, of=f"report {meeting.id}", now=world.now())
    asked = call.query.get("include_fields") == "registrant_id"
    lines = [
        _attendance(who) | ({"registrant_id": who.registrant_id} if asked else {})
        for who in listing.items
    ]
    return listing.head | {"participants": lines}


def _host(world: Account, call: Call) -> None:
    user_id = call.args["userId"]
    if user_id != world.host_id and user_id.casefold() != world.host_email.casefold():
        raise Refusal(404, 1001, f"User does not exist: {user_id}.")


def _listed(meeting: SimMeeting, kind: str, now: datetime) -> bool:
    if meeting.gone(now):
        return False
    if kind == "live":
        return meeting.status == "started"
    if kind == "scheduled":
        return True
    return (meeting.end_time <= now) == (kind == "previous_meetings")


def _day(call: Call, name: str, default: date) -> date:
    try:
        return date.fromisoformat(call.query[name]) if call.query.get(name) else default
    except ValueError as error:
        raise Refusal(400, 300, "Validation Failed.", errors=[_invalid(name)]) from error


def _invalid(name: str) -> dict[str, str]:
    return {"field": name, "message": "Invalid field."}


def _without(world: Account, changes: MeetingChanges, ignored: set[str]) -> MeetingChanges:
    dropped = changes.settings.keys() & ignored
    if dropped:
        world.faults.happened["settings dropped"] += 1
    kept = {name: value for name, value in changes.settings.items() if name not in dropped}
    return replace(changes, settings=kept)


def _line(meeting: SimMeeting) -> dict[str, Any]:
    return {
        "uuid": meeting.uuid,
        "id": meeting.id,
        "host_id": meeting.host_id,
        "topic": meeting.topic,
        "type": 2,
        "start_time": stamp(meeting.start_time),
        "duration": meeting.duration,
        "timezone": meeting.timezone,
        "agenda": meeting.agenda[:AGENDA_IN_LISTS],
        "created_at": stamp(meeting.created_at),
        "join_url": meeting.join_url,
    }


def _whole(world: Account, meeting: SimMeeting) -> dict[str, Any]:
    key = world.ids.text(60, "zak", meeting.id, world.now().replace(minute=0, second=0))
    settings: dict[str, Any] = dict(meeting.settings)
    answer = _line(meeting) | {
        "agenda": meeting.agenda,
        "host_email": meeting.host_email,
        "status": meeting.status,
        "start_url": f"{meeting.web}/s/{meeting.id}?zak={key}",  # a login for the host: a secret
        "password": meeting.password,
        "encrypted_password": meeting.encrypted_password,
        "settings": settings,
        "creation_source": meeting.creation_source,
        "pre_schedule": False,
    }
    if meeting.registration_on:
        answer["registration_url"] = meeting.registration_url
    return answer


def _held(world: Account, call: Call) -> SimMeeting:
    """By id or by uuid; a uuid with `/` arrives encoded twice, the server decoded once."""
    wanted = unquote(call.args["meetingId"])
    for meeting in world.meetings.values():
        if wanted in {str(meeting.id), meeting.uuid} and meeting.participants:
            return meeting
    raise Refusal(404, 3001, f"Meeting does not exist: {wanted}.")


def _left(world: Account, meeting: SimMeeting) -> list[SimParticipant]:
    return [who for who in meeting.participants if who.leave_time <= world.now()]


def _attendance(who: SimParticipant) -> dict[str, Any]:
    return {
        "id": "",
        "user_id": who.user_id,
        "name": who.name,
        "user_email": who.email,
        "join_time": stamp(who.join_time),
        "leave_time": stamp(who.leave_time),
        "duration": int((who.leave_time - who.join_time).total_seconds()),
        "failover": False,
        "status": "in_meeting",
    }
