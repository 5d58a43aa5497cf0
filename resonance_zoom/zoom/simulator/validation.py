"""What Zoom accepts in the body of a create, a PATCH or a registration; Refusal 300 otherwise.

Limits from Zoom's Meetings OpenAPI, 2026-08-09. Keys that Zoom does not know are ignored, as there.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from resonance_zoom.zoom.simulator.records import Refusal

DEFAULT_SETTINGS: dict[str, Any] = {
    "allow_multiple_devices": True,
    "alternative_hosts": "",
    "alternative_hosts_email_notification": True,
    "approval_type": 2,
    "audio": "both",
    "auto_recording": "none",
    "close_registration": False,
    "contact_email": "",
    "contact_name": "",
    "email_in_attendee_report": False,
    "email_notification": True,
    "host_video": False,
    "jbh_time": 0,
    "join_before_host": False,
    "meeting_authentication": False,
    "mute_upon_entry": False,
    "participant_video": False,
    "private_meeting": False,
    "registrants_confirmation_email": True,
    "registrants_email_notification": True,
    "registration_type": 1,
    "show_join_info": False,
    "show_share_button": True,
    "use_pmi": False,
    "waiting_room": False,
}
CHOICES: dict[str, tuple[object, ...]] = {
    "approval_type": (0, 1, 2),
    "audio": ("both", "telephony", "voip", "thirdParty"),
    "auto_recording": ("local", "cloud", "none"),
    "jbh_time": (0, 5, 10, 15),
    "registration_type": (1, 2, 3),
}
TEXTS = {"topic": 200, "agenda": 2000, "password": 10}
DETAILS = (
    "address", "city", "comments", "country", "industry", "job_title", "no_of_employees", "org",
    "phone", "purchasing_time_frame", "role_in_purchase_process", "state", "zip",
)  # fmt: skip
QUESTION_FIELDS = frozenset({"last_name", *DETAILS})
# fmt: off
LANGUAGES = frozenset({
    "en-US", "de-DE", "es-ES", "fr-FR", "jp-JP", "pt-PT", "ru-RU", "zh-CN", "zh-TW", "ko-KO",
    "it-IT", "vi-VN", "pl-PL", "Tr-TR",
})
# fmt: on
_START = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


@dataclass(frozen=True, slots=True)
class MeetingChanges:
    """What a body asks for; a past `start_time` is still in `fields` and not yet dealt with."""

    fields: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


def json_object(body: bytes) -> dict[str, Any]:
    """The body as an object."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Refusal(400, 300, "Request Body should be a valid JSON object.")
    return value


def meeting_changes(body: dict[str, Any], *, zone: str) -> MeetingChanges:
    """A create's or PATCH's body, checked; a start without `Z` is local in `timezone` or `zone`."""
    problems = _Problems()
    if body.get("type", 2) != 2:
        problems.add("type", "Only scheduled meetings (2) exist in this simulator.")
    fields: dict[str, Any] = {}
    for name, limit in TEXTS.items():
        if name in body and problems.text(name, body[name], limit):
            fields[name] = body[name]
    if "duration" in body and problems.whole("duration", body["duration"], 1, 1440):
        fields["duration"] = body["duration"]
    if "timezone" in body and problems.zone("timezone", body["timezone"]):
        fields["timezone"] = zone = body["timezone"]
    if "start_time" in body:
        start = parse_start(body["start_time"], zone)
        if start is None:
            problems.add("start_time", "Invalid field.")
        fields["start_time"] = start
    settings = _settings(body.get("settings", {}), problems)
    problems.refuse()
    return MeetingChanges(fields, settings)


def _settings(given: object, problems: "_Problems") -> dict[str, Any]:
    if not isinstance(given, dict):
        problems.add("settings", "Invalid field.")
        return {}
    known = {name: value for name, value in given.items() if name in DEFAULT_SETTINGS}
    for name, value in known.items():
        right_type = type(value) is type(DEFAULT_SETTINGS[name])
        if not right_type or (name in CHOICES and value not in CHOICES[name]):
            problems.add(f"settings.{name}", "Invalid field.")
    return known


def parse_start(text: object, zone: str) -> datetime | None:
    """`…Z` is UTC, without it local time in `zone`; anything else, offsets too, is None."""
    if not isinstance(text, str) or not _START.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class RegistrantFields:
    """A registration as the form or the API gives it."""

    email: str
    first_name: str
    last_name: str = ""
    answers: tuple[tuple[str, str], ...] = ()
    details: dict[str, str] = field(default_factory=dict)


def registrant_fields(body: dict[str, Any]) -> RegistrantFields:
    """The body of POST registrants, checked."""
    problems = _Problems()
    email = body.get("email")
    if problems.text("email", email, 128) and not _EMAIL.fullmatch(str(email)):
        problems.add("email", "Invalid field.")
    if problems.text("first_name", body.get("first_name"), 64) and not body["first_name"]:
        problems.add("first_name", "Invalid field.")
    problems.text("last_name", body.get("last_name", ""), 64)
    if body.get("language", "en-US") not in LANGUAGES:
        problems.add("language", "Invalid field.")
    details = {name: body[name] for name in DETAILS if name in body}
    for name, value in details.items():
        problems.text(name, value, 128)
    answers = _answers(body.get("custom_questions", []), problems)
    problems.refuse()
    return RegistrantFields(
        str(email), body["first_name"], body.get("last_name", ""), answers, details
    )


def _answers(given: object, problems: "_Problems") -> tuple[tuple[str, str], ...]:
    answers = []
    for item in given if isinstance(given, list) else [None]:
        title, value = (item.get("title"), item.get("value")) if isinstance(item, dict) else (0, 0)
        if isinstance(title, str) and isinstance(value, str) and len(value) <= 128:
            answers.append((title, value))
        else:
            problems.add("custom_questions", "Invalid field.")
    return tuple(answers)


def questions(body: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The body of PATCH registrants/questions: standard questions, then the organiser's own."""
    problems = _Problems()
    standard, own = body.get("questions", []), body.get("custom_questions", [])
    for name, items in (("questions", standard), ("custom_questions", own)):
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            problems.add(name, "Invalid field.")
    problems.refuse()
    for item in standard:
        if item.get("field_name") not in QUESTION_FIELDS:
            problems.add("questions.field_name", "Invalid field.")
    for item in own:
        if item.get("type") not in {"short", "single"} or not isinstance(item.get("title"), str):
            problems.add("custom_questions", "Invalid field.")
    problems.refuse()
    return (
        [{"field_name": q["field_name"], "required": bool(q.get("required"))} for q in standard],
        [{"answers": [], "required": False} | q for q in own],
    )


class _Problems:
    def __init__(self) -> None:
        self._errors: list[dict[str, str]] = []

    def add(self, name: str, message: str) -> bool:
        self._errors.append({"field": name, "message": message})
        return False

    def text(self, name: str, value: object, limit: int) -> bool:
        if not isinstance(value, str):
            return self.add(name, "Invalid field.")
        if len(value) > limit:
            return self.add(name, f"The value cannot exceed {limit} characters.")
        return True

    def whole(self, name: str, value: object, low: int, high: int) -> bool:
        if type(value) is int and low <= value <= high:
            return True
        return self.add(name, f"The value must be between {low} and {high}.")

    def zone(self, name: str, value: object) -> bool:
        try:
            ZoneInfo(str(value))
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a directory, such as Europe
            return self.add(name, "Invalid field.")
        return True

    def refuse(self) -> None:
        if self._errors:
            raise Refusal(400, 300, "Validation Failed.", errors=self._errors)
