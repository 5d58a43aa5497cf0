"""Promise 2: everyone who registers on Zoom's page is known here, once, as they last were.

What we were told is kept as events, each once. A registrant's state is the sum of their events and
follows from the set, never from the order in which they came:

             created                approved
    (nobody) ───────▶ pending ─────────────────▶ approved
        │                │ denied · cancelled       │ denied · cancelled · unlisted twice
        │ created        ▼                          ▼
        │            denied, cancelled ◀────────────┘
        └──────────────▶ approved        a later registration starts a new episode

Pure; `learning` writes it down.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

REGISTRATION_EVENTS = {
    "meeting.registration_created": "registration.created",
    "meeting.registration_approved": "registration.approved",
    "meeting.registration_cancelled": "registration.cancelled",
    "meeting.registration_denied": "registration.denied",
}
CREATED = "meeting.registration_created"
LISTED, UNLISTED = "listed", "unlisted"  # what a sweep saw, beside Zoom's own event names
WITHDRAWN = "withdrawn"  # staff gave the place up
SAME_MOMENT = timedelta(minutes=2)  # `create_time` and the stamp of the event, for one act
ACTIVE = ("approved", "pending")  # who holds a place
_TIE = {"pending": 0, "approved": 1, "denied": 2, "cancelled": 3}  # a cancellation wins a tie


class Event(NamedTuple):
    """One thing we were told about one person. `event_ts` in milliseconds since 1970."""

    event: str
    event_ts: int
    source: str
    status: str
    registrant_id: str
    email: str
    first_name: str
    last_name: str
    join_url: str | None = None
    create_time: datetime | None = None

    @property
    def at(self) -> datetime:
        """`event_ts` as a time, UTC."""
        return datetime.fromtimestamp(self.event_ts / 1000, UTC)


class State(NamedTuple):
    """What a person's events add up to; the columns of `registrants`."""

    status: str
    episode: int
    registrant_id: str
    email: str
    first_name: str
    last_name: str
    join_url: str | None
    registered_at: datetime
    approved_at: datetime | None
    decided_ts: int
    source: str

    def columns(self) -> dict[str, Any]:
        """As a row."""
        return self._asdict()


def state_of(events: Iterable[Event]) -> State:
    """The one state of a set of events, whatever their order and repetition.

    The highest `event_ts` decides; at a tie a cancellation wins. Being registered again after a
    loss starts a new episode, except when only a sweep had missed the person and the same
    registration turns up again.
    """
    told = [*events]
    if len(told) == 1:  # somebody new
        return _first(told[0])
    state: State | None = None
    lost_by = ""
    for event in sorted(set(told), key=_order):
        active = event.status in ACTIVE
        if state is None:
            state = _first(event)
        elif active and state.status not in ACTIVE and not _same_again(event, state, lost_by):
            state = _first(event)._replace(episode=state.episode + 1)
        elif active:
            state = state._replace(
                **_details(event, state),
                approved_at=state.approved_at or (event.at if event.status == "approved" else None),
            )
        if not active:
            lost_by = event.event
        if (state.status, state.decided_ts) != (event.status, event.event_ts):
            state = state._replace(status=event.status, decided_ts=event.event_ts)
    if state is None:
        raise ValueError("a registrant without events has no state")
    return state


def _order(event: Event) -> tuple[int, int, str, str, str, str]:
    return (
        event.event_ts,
        _TIE[event.status],
        event.event,
        event.registrant_id,
        event.join_url or "",
        event.email + event.first_name + event.last_name,
    )


def _first(event: Event) -> State:
    at = event.at
    began = at if event.create_time is None else min(event.create_time, at)
    return State(
        status=event.status,
        episode=1,
        registrant_id=event.registrant_id,
        email=event.email,
        first_name=event.first_name,
        last_name=event.last_name,
        join_url=event.join_url,
        registered_at=began,
        approved_at=began if event.status == "approved" else None,
        decided_ts=event.event_ts,
        source=event.source,
    )


def _same_again(event: Event, state: State, lost_by: str) -> bool:
    """A listing that shows the very registration which two earlier listings lacked."""
    return (
        event.event == LISTED
        and lost_by == UNLISTED
        and event.create_time is not None
        and event.create_time <= state.registered_at + SAME_MOMENT
    )


def _details(event: Event, state: State) -> dict[str, Any]:
    return {
        "registrant_id": event.registrant_id or state.registrant_id,
        "email": event.email,
        "first_name": event.first_name,
        "last_name": event.last_name,
        "join_url": event.join_url or state.join_url,
    }


def milliseconds(moment: datetime) -> int:
    """As Zoom stamps its events."""
    return int(moment.timestamp() * 1000)
