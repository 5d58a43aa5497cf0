"""What Zoom says and what we say to Zoom, as frozen values. Field names are Zoom's own.

Source: Zoom's Meetings and Users OpenAPI documents, 2026-08-09. Ids are integers here whatever type
they arrive in. `start_url` (a host login) and answers to questions are dropped at parsing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

AUTOMATIC_APPROVAL, MANUAL_APPROVAL, NO_REGISTRATION = 0, 1, 2
SCHEDULED_MEETING = 2
LICENSED = 2


@dataclass(frozen=True, slots=True)
class MeetingSettings:
    """The settings we care about. None: Zoom did not say.

    Both registrant e-mail flags must be False for Zoom to be silent towards registrants.
    """

    approval_type: int | None = None
    registrants_confirmation_email: bool | None = None
    registrants_email_notification: bool | None = None
    use_pmi: bool | None = None
    waiting_room: bool | None = None
    join_before_host: bool | None = None


@dataclass(frozen=True, slots=True)
class MeetingRequest:
    """A meeting as we want it. `start_time` aware UTC, `duration` minutes, `agenda` ≤ 2,000."""

    topic: str
    agenda: str
    start_time: datetime
    duration: int
    timezone: str
    settings: MeetingSettings

    def body(self) -> dict[str, Any]:
        """The JSON of POST /users/{userId}/meetings: the start as `yyyy-MM-ddTHH:mm:ssZ`."""
        return {"type": SCHEDULED_MEETING} | changes_body(
            {
                "topic": self.topic,
                "agenda": self.agenda,
                "start_time": self.start_time,
                "duration": self.duration,
                "timezone": self.timezone,
                **{
                    f"settings.{name}": getattr(self.settings, name)
                    for name in MeetingSettings.__dataclass_fields__
                },
            }
        )


def changes_body(changes: dict[str, Any]) -> dict[str, Any]:
    """{"topic": …, "settings.approval_type": …} → the nested JSON of a create or PATCH."""
    body: dict[str, Any] = {}
    for name, value in changes.items():
        if value is None:
            continue
        if isinstance(value, datetime):
            value = value.strftime("%Y-%m-%dT%H:%M:%SZ")
        section, _, field = name.rpartition(".")
        (body.setdefault(section, {}) if section else body)[field] = value
    return body


@dataclass(frozen=True, slots=True)
class DialIn:
    """A telephone number by which one may join. `country` is Zoom's two letters, such as FR."""

    number: str
    country: str


@dataclass(frozen=True, slots=True)
class Meeting:
    """A meeting as Zoom holds it (GET /meetings/{id}, 201 of a create)."""

    id: int
    uuid: str
    host_id: str
    topic: str
    agenda: str
    type: int
    start_time: datetime | None
    duration: int
    timezone: str
    join_url: str
    registration_url: str | None
    settings: MeetingSettings
    status: str = ""
    dial_in: tuple[DialIn, ...] = ()


@dataclass(frozen=True, slots=True)
class MeetingSummary:
    """A line of GET /users/{userId}/meetings; Zoom cuts `agenda` at 250 characters."""

    id: int
    topic: str
    agenda: str
    start_time: datetime | None
    duration: int
    timezone: str


class Registrant(NamedTuple):
    """One registrant, from a listing or a notification. They come by the hundred thousand.

    `status` is approved, pending, denied or cancelled; `join_url` is None while there is none;
    `create_time` aware UTC, None in notifications.
    """

    id: str
    email: str
    first_name: str
    last_name: str
    status: str
    join_url: str | None
    create_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class User:
    """The host. `type` 2 is licensed; a Basic host (1) cannot have registration."""

    id: str
    email: str
    type: int
    timezone: str
    status: str


class Notification(NamedTuple):
    """A verified webhook. `event_ts`: milliseconds since 1970; `meeting_id` None if it has none."""

    event: str
    event_ts: int
    meeting_id: int | None
    registrant: Registrant | None


@dataclass(frozen=True, slots=True)
class Challenge:
    """`endpoint.url_validation`: Zoom asks us to prove that we know the secret."""

    plain_token: str
