"""HTTP answers: which operation, may it, what goes wrong on purpose, what Zoom would say.

Sources: Zoom's Meetings and Users OpenAPI of 2026-08-09 (operations, scopes, rate-limit labels) and
https://developers.zoom.us/docs/api/errors/ (the shape of a refusal).
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import format_datetime
from functools import partial
from typing import Any

from resonance_zoom.zoom.simulator import meeting_calls, registrant_calls
from resonance_zoom.zoom.simulator.account import Account
from resonance_zoom.zoom.simulator.calls import Call
from resonance_zoom.zoom.simulator.faults import ApiFault
from resonance_zoom.zoom.simulator.oauth import answer_token_request, check_token
from resonance_zoom.zoom.simulator.quotas import DAILY_MESSAGE, PER_SECOND_MESSAGE, next_day
from resonance_zoom.zoom.simulator.records import Answer, Refusal, SimCall, SimRequest, stamp

TOKEN_PATH, API_PREFIX = "/oauth/token", "/v2"
Handler = Callable[[Account, Call], dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of Zoom's: its operationId, the scope that it needs, its rate-limit label."""

    name: str
    method: str
    path: str
    scope: str
    label: str
    handler: Handler

    @property
    def success(self) -> int:
        """The status of a success; what answers with nothing answers 204."""
        return {"GET": 200, "POST": 201}.get(self.method, 204)


# fmt: off
OPERATIONS = tuple(Operation(*row) for row in (
    ("user", "GET", "/users/{userId}",
     "user:read:user:admin", "Light", meeting_calls.get_user),
    ("meetings", "GET", "/users/{userId}/meetings",
     "meeting:read:list_meetings:admin", "Medium", meeting_calls.list_meetings),
    ("meetingCreate", "POST", "/users/{userId}/meetings",
     "meeting:write:meeting:admin", "Light", meeting_calls.create_meeting),
    ("meeting", "GET", "/meetings/{meetingId}",
     "meeting:read:meeting:admin", "Light", meeting_calls.get_meeting),
    ("meetingUpdate", "PATCH", "/meetings/{meetingId}",
     "meeting:update:meeting:admin", "Light", meeting_calls.update_meeting),
    ("meetingDelete", "DELETE", "/meetings/{meetingId}",
     "meeting:delete:meeting:admin", "Light", meeting_calls.delete_meeting),
    ("meetingRegistrants", "GET", "/meetings/{meetingId}/registrants",
     "meeting:read:list_registrants:admin", "Medium", registrant_calls.list_registrants),
    ("meetingRegistrantCreate", "POST", "/meetings/{meetingId}/registrants",
     "meeting:write:registrant:admin", "Light", registrant_calls.add_registrant),
    ("meetingRegistrantStatus", "PUT", "/meetings/{meetingId}/registrants/status",
     "meeting:update:registrant_status:admin", "Medium", registrant_calls.change_status),
    ("meetingRegistrantsQuestionsGet", "GET", "/meetings/{meetingId}/registrants/questions",
     "meeting:read:list_registration_questions:admin", "Light", registrant_calls.get_questions),
    ("meetingRegistrantQuestionUpdate", "PATCH", "/meetings/{meetingId}/registrants/questions",
     "meeting:update:registration_question:admin", "Light", registrant_calls.update_questions),
    ("meetingRegistrantGet", "GET", "/meetings/{meetingId}/registrants/{registrantId}",
     "meeting:read:registrant:admin", "Light", registrant_calls.get_registrant),
    ("meetingregistrantdelete", "DELETE", "/meetings/{meetingId}/registrants/{registrantId}",
     "meeting:delete:registrant:admin", "Light", registrant_calls.delete_registrant),
    ("pastMeetingParticipants", "GET", "/past_meetings/{meetingId}/participants",
     "meeting:read:list_past_participants:admin", "Medium", meeting_calls.past_participants),
    ("reportMeetingParticipants", "GET", "/report/meetings/{meetingId}/participants",
     "report:read:list_meeting_participants:admin", "Heavy", meeting_calls.report_participants),
))
# fmt: on
_PATTERNS = [
    (operation, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.path)))
    for operation in OPERATIONS
]


def answer(world: Account, request: SimRequest) -> Answer:
    """Zoom's answer, with its effect on the world; never raises for what a client sent."""
    with world.lock:
        name, carry_out = _understand(world, request)
        if world.faults.api_down:
            world.faults.happened["api down"] += 1
            return _note(world, request, name, Answer(0, wire="dropped"), fault="api-down")
        fault = world.faults.strike_call(name, request)
        if fault is not None and not fault.after_effect:
            return _note(world, request, name, _spoilt(world, fault, None), fault=fault.kind)
        real = carry_out()
        done = real.status < 400
        if fault is None:
            return _note(world, request, name, real, fault=None, done=done)
        given = _spoilt(world, fault, real)
        return _note(world, request, name, given, fault=fault.kind, done=done)


def _understand(world: Account, request: SimRequest) -> tuple[str, Callable[[], Answer]]:
    """The operation's name and how to carry it out."""
    if (request.method, request.path) == ("POST", TOKEN_PATH):
        return "token", lambda: answer_token_request(world, request)
    path = request.path.removeprefix(API_PREFIX)
    for operation, pattern in _PATTERNS:
        found = pattern.fullmatch(path)
        if found and operation.method == request.method and path != request.path:
            call = Call(found.groupdict(), request.query, request.body)
            return operation.name, partial(_carry_out, world, operation, request, call)
    return "unknown", lambda: _refusal(Refusal(404, 2300, "This API endpoint is not recognized."))


def _carry_out(world: Account, operation: Operation, request: SimRequest, call: Call) -> Answer:
    try:
        check_token(world, request, scope=operation.scope)
        if world.faults.per_second_limits:
            world.quotas.call(world.now(), world.faults.per_second_limits, operation.label)
        value = operation.handler(world, call)
    except Refusal as refusal:
        given = _refusal(refusal)
    else:
        given = Answer(operation.success) if value is None else _json(operation.success, value)
    return replace(given, headers=given.headers | {"x-ratelimit-category": operation.label})


def _refusal(refusal: Refusal) -> Answer:
    value: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    if refusal.errors:
        value["errors"] = list(refusal.errors)
    given = _json(refusal.status, value)
    return replace(given, headers=given.headers | refusal.headers)


def _json(status: int, value: dict[str, Any]) -> Answer:
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    return Answer(status, body, {"content-type": "application/json;charset=UTF-8"})


def _spoilt(world: Account, fault: ApiFault, real: Answer | None) -> Answer:
    """What arrives in place of the `real` answer (None: nothing was done)."""
    kind = fault.kind
    if kind in {"timeout-before", "timeout-after"}:
        return Answer(0, wire="dropped")
    if kind == "reset":
        return Answer(0, wire="reset")
    if kind.startswith("429"):
        return _too_many(world, fault)
    if real is not None and kind == "truncated":
        return replace(real, body=real.body[: len(real.body) // 2])
    if real is not None and kind == "cut-off":
        return replace(real, wire="cut")
    if real is not None and kind == "wrong-type":
        return replace(real, headers=real.headers | {"content-type": "text/plain"})
    if kind == "401":
        return _refusal(Refusal(401, 124, "Invalid access token."))
    if kind == "404":
        return _refusal(Refusal(404, 3001, "Meeting does not exist."))
    if kind == "500":
        return _json(500, {"code": 500, "message": "Internal Server Error"})
    page = b"<html><head><title>Zoom</title></head><body>We will be back soon.</body></html>"
    status = 200 if kind == "html" else int(kind)
    return Answer(status, page, {"content-type": "text/html;charset=UTF-8"})


def _too_many(world: Account, fault: ApiFault) -> Answer:
    daily = fault.kind == "429-daily"
    given = _refusal(Refusal(429, 429, DAILY_MESSAGE if daily else PER_SECOND_MESSAGE))
    headers = {"x-ratelimit-type": "Daily-limit" if daily else "QPS"}
    retry_after = fault.retry_after or (stamp(next_day(world.now())) if daily else None)
    if retry_after:
        headers["retry-after"] = retry_after
    return replace(given, headers=given.headers | headers)


def _note(
    world: Account,
    request: SimRequest,
    name: str,
    given: Answer,
    *,
    fault: str | None,
    done: bool = False,
) -> Answer:
    """Remembers the call and dates the answer by the world's clock."""
    now = world.now()
    world.calls.append(
        SimCall(
            at=now,
            method=request.method,
            path=request.path,
            operation=name,
            status=given.status,
            query=request.query,
            fault=fault,
            done=done,
        )
    )
    return replace(given, headers=given.headers | {"date": format_datetime(now, usegmt=True)})
