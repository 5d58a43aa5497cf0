"""What the simulated Zoom remembers: meetings, registrants, who attended, the answered calls."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from resonance_zoom.errors import ZoomRefused

MEETING_ID_LIVES = timedelta(days=30)  # after its last use, says Zoom: Using Zoom APIs
WEB = "https://us02web.zoom.us"
LISTED = ("approved", "pending", "denied")


class Refusal(ZoomRefused):
    """The simulated Zoom says no: `status` is the HTTP one, `code` Zoom's own in the body.

    `errors` names the fields of a failed validation, `headers` go with the answer.
    """

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        *,
        errors: Sequence[dict[str, str]] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.errors = tuple(errors)
        self.headers = headers or {}


@dataclass(slots=True)
class SimRegistrant:
    """One registration: `status` is approved, pending, denied, cancelled (by the person), deleted.

    Only the first three are listed. `join_url` is None until approved. `details` holds the address
    and the like, `history` each status with its moment (UTC).
    """

    id: str
    email: str
    first_name: str
    last_name: str
    status: str
    create_time: datetime
    join_url: str | None = None
    answers: tuple[tuple[str, str], ...] = ()
    details: dict[str, str] = field(default_factory=dict)
    pin_code: int = 0
    history: list[tuple[datetime, str]] = field(default_factory=list)

    @property
    def active(self) -> bool:
        """Whether the person holds a place or waits for one."""
        return self.status in {"approved", "pending"}


@dataclass(frozen=True, slots=True)
class SimParticipant:
    """Somebody who was in the meeting from `join_time` to `leave_time` (UTC)."""

    user_id: str
    uuid: str
    name: str
    email: str
    registrant_id: str
    join_time: datetime
    leave_time: datetime


@dataclass(slots=True)
class SimMeeting:
    """A scheduled meeting as Zoom holds it. `start_time` UTC, `duration` minutes.

    `status` is waiting or started; `deleted` means in the trash; `settings` holds every setting.
    """

    id: int
    uuid: str
    host_id: str
    host_email: str
    topic: str
    agenda: str
    start_time: datetime
    duration: int
    timezone: str
    password: str
    settings: dict[str, Any]
    created_at: datetime
    creation_source: str
    registration_url: str
    encrypted_password: str
    deleted: bool = False
    status: str = "waiting"
    registrants: dict[str, SimRegistrant] = field(default_factory=dict)
    participants: list[SimParticipant] = field(default_factory=list)
    questions: list[dict[str, Any]] = field(default_factory=list)
    custom_questions: list[dict[str, Any]] = field(default_factory=list)
    web: str = WEB

    @property
    def end_time(self) -> datetime:
        """The scheduled end, UTC."""
        return self.start_time + timedelta(minutes=self.duration)

    @property
    def registration_on(self) -> bool:
        """Whether people can register: approval is automatic (0) or manual (1)."""
        return self.settings["approval_type"] in {0, 1}

    @property
    def join_url(self) -> str:
        """The meeting's own link; with registration on it leads to the registration page."""
        return f"{self.web}/j/{self.id}?pwd={self.encrypted_password}"

    def gone(self, now: datetime) -> bool:
        """Whether Zoom says that it does not exist: deleted, or its id has expired."""
        return self.deleted or now > self.end_time + MEETING_ID_LIVES

    def registrant(self, email: str) -> SimRegistrant | None:
        """The latest registration of that address in any casing, an active one first."""
        folded = email.casefold()
        theirs = [r for r in self.registrants.values() if r.email.casefold() == folded]
        return max(theirs, key=lambda r: (r.active, r.create_time), default=None)

    def hosts(self) -> set[str]:
        """Addresses (folded) that Zoom refuses as registrants."""
        others = str(self.settings["alternative_hosts"]).split(";")
        return {self.host_email.casefold(), *(o.strip().casefold() for o in others if o.strip())}


@dataclass(frozen=True, slots=True)
class SimCall:
    """One answered call. `status` 0: the connection was dropped; `fault` the planned one, if any.

    `done` says whether the operation had its effect, `operation` is Zoom's operationId, `token`
    for OAuth, `unknown` for a path that Zoom does not have.
    """

    at: datetime
    method: str
    path: str
    operation: str
    status: int
    query: dict[str, str] = field(default_factory=dict)
    fault: str | None = None
    done: bool = False


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An access token: until when (UTC) and for what it is good."""

    expires_at: datetime
    scopes: frozenset[str]
    generation: int
    number: int


@dataclass(frozen=True, slots=True)
class SimRequest:
    """A request as the server read it; header names are lower case, `path` is decoded once."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    origin: str = "https://api.zoom.us"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. `wire` says how: whole, cut (half of the body), dropped, reset."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    wire: str = "whole"


def stamp(moment: datetime) -> str:
    """Zoom's way of writing a UTC moment: `2021-02-09T08:00:00Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
