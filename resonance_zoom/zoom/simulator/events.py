"""The payloads of Zoom's notifications, one function for each shape.

Source: Zoom's webhook OpenAPI, 2026-08-09. `object.id` is an integer in most events and a string in
those of the running meeting: that is Zoom's habit, not a slip.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from resonance_zoom.zoom.simulator.records import SimMeeting, SimParticipant, SimRegistrant, stamp

Payload = dict[str, Any]


def meeting_object(meeting: SimMeeting) -> Payload:
    """What every event says of its meeting."""
    return {
        "uuid": meeting.uuid,
        "id": meeting.id,
        "host_id": meeting.host_id,
        "topic": meeting.topic,
        "type": 2,
        "start_time": stamp(meeting.start_time),
        "duration": meeting.duration,
        "timezone": meeting.timezone,
    }


def by_host(account_id: str, meeting: SimMeeting, obj: Payload) -> Payload:
    """An act of the host, on Zoom's site or through the API."""
    return {
        "account_id": account_id,
        "operator": meeting.host_email,
        "operator_id": meeting.host_id,
        "object": obj,
    }


def created(account_id: str, meeting: SimMeeting) -> Payload:
    """meeting.created."""
    settings = {
        name: meeting.settings[name]
        for name in ("use_pmi", "alternative_hosts", "join_before_host", "jbh_time")
    }
    extra = {
        "join_url": meeting.join_url,
        "password": meeting.password,
        "creation_source": meeting.creation_source,
        "settings": settings,
    }
    return by_host(account_id, meeting, meeting_object(meeting) | extra)


def updated(
    account_id: str,
    meeting: SimMeeting,
    *,
    new: Mapping[str, Any],
    old: Mapping[str, Any],
    at: datetime,
) -> Payload:
    """meeting.updated: only what changed, before and after."""
    payload = by_host(account_id, meeting, {"id": meeting.id} | dict(new))
    payload["old_object"] = {"id": meeting.id} | dict(old)
    payload["time_stamp"] = milliseconds(at)
    return payload


def deleted(account_id: str, meeting: SimMeeting) -> Payload:
    """meeting.deleted (to the trash), .recovered and .permanently_deleted."""
    return by_host(account_id, meeting, meeting_object(meeting)) | {"operation": "single"}


def started(account_id: str, meeting: SimMeeting) -> Payload:
    """meeting.started."""
    obj = meeting_object(meeting) | {"id": str(meeting.id), "host_email": meeting.host_email}
    return {"account_id": account_id, "object": obj}


def ended(account_id: str, meeting: SimMeeting, at: datetime) -> Payload:
    """meeting.ended; its duration is the scheduled one."""
    payload = started(account_id, meeting)
    payload["object"]["end_time"] = stamp(at)
    return payload


def registration_created(account_id: str, meeting: SimMeeting, who: SimRegistrant) -> Payload:
    """meeting.registration_created; a pending registrant's join_url is empty."""
    registrant = _person(who) | {
        "status": "pending" if who.status == "pending" else "approved",
        "join_url": who.join_url or "",
        "participant_pin_code": who.pin_code,
        "custom_questions": [{"title": title, "value": value} for title, value in who.answers],
        **who.details,
    }
    obj = meeting_object(meeting) | {"registrant": registrant}
    return {"account_id": account_id, "object": obj}


def registration_approved(account_id: str, meeting: SimMeeting, who: SimRegistrant) -> Payload:
    """meeting.registration_approved: no answers and no status, but the link."""
    registrant = _person(who) | {"join_url": who.join_url, "participant_pin_code": who.pin_code}
    return by_host(account_id, meeting, meeting_object(meeting) | {"registrant": registrant})


def registration_denied(account_id: str, meeting: SimMeeting, who: SimRegistrant) -> Payload:
    """meeting.registration_denied, and .registration_cancelled when the host cancels."""
    return by_host(account_id, meeting, meeting_object(meeting) | {"registrant": _person(who)})


def registration_cancelled(account_id: str, meeting: SimMeeting, who: SimRegistrant) -> Payload:
    """meeting.registration_cancelled by the person: the operator is their address, with no id."""
    return {
        "account_id": account_id,
        "operator": who.email,
        "object": meeting_object(meeting) | {"registrant": _person(who)},
    }


def participant_joined(account_id: str, meeting: SimMeeting, who: SimParticipant) -> Payload:
    """meeting.participant_joined."""
    return _participant(account_id, meeting, who, join_time=stamp(who.join_time))


def participant_left(account_id: str, meeting: SimMeeting, who: SimParticipant) -> Payload:
    """meeting.participant_left."""
    reason = f"{who.name} left the meeting.<br>Reason: left the meeting"
    return _participant(
        account_id, meeting, who, leave_time=stamp(who.leave_time), leave_reason=reason
    )


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970, as in event_ts."""
    return round(moment.timestamp() * 1000)


def _person(who: SimRegistrant) -> Payload:
    return {
        "id": who.id,
        "first_name": who.first_name,
        "last_name": who.last_name,
        "email": who.email,
    }


def _participant(
    account_id: str, meeting: SimMeeting, who: SimParticipant, **moment: str
) -> Payload:
    participant = {
        "user_id": who.user_id,
        "user_name": who.name,
        "id": "",
        "participant_uuid": who.uuid,
        "email": who.email,
        "registrant_id": who.registrant_id,
    }
    obj = meeting_object(meeting) | {
        "id": str(meeting.id),
        "participant": participant | moment,
    }
    return {"account_id": account_id, "object": obj}
