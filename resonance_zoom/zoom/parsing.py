"""JSON answers of Zoom's API → payloads. Tolerant of what is absent; `start_url` is not read.

ValueError, and nothing else, for what cannot be a meeting, a registrant or a user.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from resonance_zoom.zoom.payloads import (
    DialIn,
    Meeting,
    MeetingSettings,
    MeetingSummary,
    Registrant,
    User,
)
from resonance_zoom.zoom.protocol import MAX_ID, is_address

_REGISTRANT = ("id", "email", "first_name", "last_name", "status", "join_url")
_registrant_texts = itemgetter(*_REGISTRANT)
_TELEPHONE = re.compile(r"\+?[0-9][0-9 ().-]{3,30}")


def meeting(answer: Mapping[str, Any]) -> Meeting:
    """A whole meeting, of GET /meetings/{id} or a create."""
    return Meeting(
        id=_meeting_id(answer),
        uuid=_text(answer, "uuid"),
        host_id=_text(answer, "host_id"),
        topic=_text(answer, "topic"),
        agenda=_text(answer, "agenda"),
        type=_number(answer, "type"),
        start_time=moment(answer.get("start_time")),
        duration=_number(answer, "duration"),
        timezone=_text(answer, "timezone"),
        join_url=_text(answer, "join_url"),
        registration_url=_text(answer, "registration_url") or None,
        settings=_settings(answer.get("settings")),
        status=_text(answer, "status"),
        dial_in=_dial_in(answer.get("settings")),
    )


def meeting_summary(item: Any) -> MeetingSummary:
    """A line of a user's meetings."""
    line = _object(item)
    return MeetingSummary(
        id=_meeting_id(line),
        topic=_text(line, "topic"),
        agenda=_text(line, "agenda"),
        start_time=moment(line.get("start_time")),
        duration=_number(line, "duration"),
        timezone=_text(line, "timezone"),
    )


def registrant(item: Any) -> Registrant:
    """A line of a meeting's registrants; without an address it is of no use to anybody."""
    try:
        texts = _registrant_texts(item)
        together = "".join(texts)
        together.encode()  # fails on what a database cannot hold
        if "\0" in together:
            texts = _sound_texts(item)
    except (KeyError, TypeError, UnicodeEncodeError):
        texts = _sound_texts(item)
    number, email, first_name, last_name, status, join_url = texts
    email = email.strip()
    if not is_address(email):
        raise ValueError("a registrant without an e-mail address")
    return Registrant(
        number[:MAX_ID],
        email,
        first_name,
        last_name,
        status,
        join_url or None,
        moment(item.get("create_time")),
    )


def user(answer: Mapping[str, Any]) -> User:
    """The host, of GET /users/{id}."""
    return User(
        id=_text(answer, "id"),
        email=_text(answer, "email"),
        type=_number(answer, "type"),
        timezone=_text(answer, "timezone"),
        status=_text(answer, "status"),
    )


def lines(page: Mapping[str, Any], name: str) -> list[Any]:
    """The lines of one page of a list. A page without them is broken, not the end of the list."""
    found = page.get(name)
    if not isinstance(found, list):
        raise ValueError(f"a list without {name}")  # noqa: TRY004 - Zoom's data, not our call
    return found


def moment(value: Any) -> datetime | None:
    """Zoom's ISO time as aware UTC, None when there is none."""
    if not isinstance(value, str) or not value:
        return None
    try:
        parsed = datetime.fromisoformat(value)
        if parsed.tzinfo is UTC:
            return parsed
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("a time that is none") from None


def _object(item: Any) -> Mapping[str, Any]:
    if not isinstance(item, dict):
        raise ValueError("a line that is no object")  # noqa: TRY004 - Zoom's data, not our call
    return item


def _sound_texts(item: Any) -> Sequence[str]:
    """The texts of a registrant, field by field: some are missing, or hold what is unfit."""
    line = _object(item)
    return [_text(line, name) for name in _REGISTRANT]


def _settings(value: Any) -> MeetingSettings:
    given = value if isinstance(value, dict) else {}
    return MeetingSettings(
        **{
            name: given[name]
            for name in MeetingSettings.__dataclass_fields__
            if isinstance(given.get(name), int)  # booleans are
        }
    )


def _dial_in(settings: Any) -> tuple[DialIn, ...]:
    """Zoom's `global_dial_in_numbers`, those that look like telephone numbers."""
    given = settings.get("global_dial_in_numbers") if isinstance(settings, dict) else None
    if not isinstance(given, list):
        return ()
    lines = (
        DialIn(_text(one, "number"), _text(one, "country"))
        for one in given
        if isinstance(one, dict)
    )
    return tuple(line for line in lines if _TELEPHONE.fullmatch(line.number))[:50]


def _meeting_id(item: Mapping[str, Any]) -> int:
    found = _number(item, "id")
    if not 0 < found < 2**63:
        raise ValueError("a meeting without an id")
    return found


def _number(item: Mapping[str, Any], name: str) -> int:
    """A number that may come as text; 0 when there is none."""
    value = item.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) else 0


def _text(item: Mapping[str, Any], name: str) -> str:
    """Text that a database can hold; lone surrogates and NUL are let go of."""
    value = item.get(name)
    if isinstance(value, int):
        value = str(value)
    if not isinstance(value, str):
        return ""
    if value.isascii() and "\0" not in value:
        return value
    return value.encode("utf-8", "replace").decode().replace("\0", "")
