"""Promise 2: everyone who registers on Zoom's page is known here, once, as they last were.

What we were told is kept as events, each once. A registrant's state is the sum of their events and
follows from the set, never from the order in which they came:

             created                approved
    (nobody) ───────▶ pending ─────────────────▶ approved
        │                │ denied · cancelled       │ denied · cancelled · unlisted twice
        │ created        ▼                          ▼
        │            denied, cancelled ◀────────────┘
        └──────────────▶ approved        a later registration starts a new episode
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from resonance_zoom import notices
from resonance_zoom.campaign import CONFIRMATION, Campaign
from resonance_zoom.errors import NotFound
from resonance_zoom.store import erasure, journal, outbox, people
from resonance_zoom.zoom.payloads import Notification, Registrant
from resonance_zoom.zoom.protocol import event_key

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
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
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def state_of(events: Iterable[Event]) -> State:
    """The one state of a set of events, whatever their order and repetition.

    The highest `event_ts` decides; at a tie a cancellation wins. Being registered again after a
    loss starts a new episode, except when only a sweep had missed the person and the same
    registration turns up again.
    """
    state: State | None = None
    lost_by = ""
    for event in sorted(set(events), key=_order):
        active = event.status in ACTIVE
        if state is None:
            state = _first(event)
        elif active and state.status not in ACTIVE and not _same_again(event, state, lost_by):
            state = replace(_first(event), episode=state.episode + 1)
        elif active:
            state = replace(
                state,
                **_details(event, state),
                approved_at=state.approved_at or (event.at if event.status == "approved" else None),
            )
        if not active:
            lost_by = event.event
        state = replace(state, status=event.status, decided_ts=event.event_ts)
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
    began = min(event.create_time or event.at, event.at)
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an event changed: nothing new, or a person's status and whether a letter is owed."""

    new: bool
    changed: bool = False
    owed: bool = False


def notified(
    connection: Connection,
    notification: Notification,
    meeting: Any,
    campaign: Campaign,
    now: datetime,
) -> Outcome:
    """A webhook about a registrant came: keep it, change the person, owe the letter.

    All in the caller's transaction. `meeting` is the row that the notification names. A repeated or
    late event changes nothing that newer ones decided.
    """
    registrant = notification.registrant
    if registrant is None:
        raise ValueError(f"{notification.event} without a registrant")
    event = Event(
        event=notification.event,
        event_ts=notification.event_ts or int(now.timestamp() * 1000),
        source="webhook",
        status=registrant.status,
        registrant_id=registrant.id,
        email=registrant.email,
        first_name=registrant.first_name,
        last_name=registrant.last_name,
        join_url=registrant.join_url,
    )
    return learn(connection, event, event_key(notification), meeting, campaign, now)


def learn(
    connection: Connection,
    event: Event,
    key: str,
    meeting: Any,
    campaign: Campaign,
    now: datetime,
) -> Outcome:
    """Keep an event under its key and let the person's state follow from all of theirs.

    Nothing is kept of somebody who was erased and has not registered anew since.
    """
    group, folded = meeting.focus_group, people.fold(event.email)
    if _stays_erased(connection, event, group, folded, now):
        return Outcome(new=False)
    kept = people.add_event(
        connection,
        {
            **{name: getattr(event, name) for name in event.__dataclass_fields__},
            "key": key,
            "zoom_meeting_id": meeting.zoom_meeting_id,
            "focus_group": group,
            "email_folded": folded,
            "received_at": now,
        },
    )
    if not kept:
        return Outcome(new=False)
    before = people.person(connection, group, folded)
    told = people.history(connection, group, folded)
    state = state_of(_event(row) for row in told)
    person = people.save(connection, group, folded, {**state.columns(), "absent_since": None})
    owed = not _knows_the_link(connection, person, state, told) and _owe_confirmation(
        connection, person, state, meeting, campaign, now
    )
    was = before.status if before else None
    changed = was != state.status or (before is not None and before.episode != state.episode)
    journal.note(
        connection,
        now,
        REGISTRATION_EVENTS.get(event.event, f"registration.{event.event}"),
        _sentence(event, was, state),
        level=journal.WARNING if event.source == "sweep" and changed else journal.INFO,
        focus_group=group,
        registrant=person,
        source=event.source,
        event=event.event,
        event_ts=event.event_ts,
        before=was,
        after=state.status,
        episode=state.episode,
        zoom_registrant_id=event.registrant_id,
        confirmation_owed=owed,
    )
    return Outcome(new=True, changed=changed, owed=owed)


def _stays_erased(
    connection: Connection, event: Event, group: str, folded: str, now: datetime
) -> bool:
    """Whether Zoom speaks of somebody whose data were erased; the journal says so once.

    A registration made after the erasure is a new consent: Zoom's `create_time` in a list, the
    stamp of a created registration in a notification. Whatever else is told of somebody who is not
    known any more is an echo, such as our own deletion at Zoom.
    """
    stone = erasure.erasure_of(connection, folded)
    if stone is None:
        return False
    is_known = people.person(connection, group, folded) is not None
    began = event.create_time or (event.at if is_known or event.event == CREATED else None)
    if began is not None and began > stone.erased_at and (is_known or event.status in ACTIVE):
        return False
    if not stone.told:
        erasure.tell(connection, stone, now)
        journal.note(
            connection,
            now,
            "registration.ignored",
            "Zoom still names somebody whose data were erased; nothing is kept of it",
            focus_group=group,
            source=event.source,
        )
    return True


def active_person(connection: Connection, focus_group: str, email: str) -> Any:
    """The registrant who holds a place. Raises NotFound when nobody of that address does."""
    row: Any = people.person(connection, focus_group, people.fold(email))
    if row is None or row.status not in ACTIVE:
        raise NotFound(
            f"{email} holds no place in {focus_group}",
            remedy=f"See: resonance-zoom registrants --focus-group {focus_group}",
        )
    return row


def withdrawn(
    connection: Connection, person: Any, meeting: Any, campaign: Campaign, now: datetime
) -> Outcome:
    """A person's place was given up through us: the same as if Zoom had told it."""
    left = Registrant(person.registrant_id or "", person.email, "", "", "cancelled", None)
    notification = Notification(WITHDRAWN, milliseconds(now), meeting.zoom_meeting_id, left)
    event = Event(
        event=WITHDRAWN,
        event_ts=milliseconds(now),
        source="staff",
        status="cancelled",
        registrant_id=left.id,
        email=person.email,
        first_name=person.first_name,
        last_name=person.last_name,
    )
    return learn(connection, event, event_key(notification), meeting, campaign, now)


def _event(row: Any) -> Event:
    return Event(**{name: getattr(row, name) for name in Event.__dataclass_fields__})


def _sentence(event: Event, was: str | None, state: State) -> str:
    told = {"webhook": "Zoom told us", "sweep": "The sweep found", "staff": "Staff said"}[
        event.source
    ]
    if was == state.status:
        return f"{told}: {event.status}; {state.status} as before"
    if state.status != event.status:
        return f"{told}: {event.status}, but something newer is known; {state.status}"
    return f"{told}: {state.status}" + (f" (was {was})" if was else "")


def _knows_the_link(connection: Connection, person: int, state: State, told: Iterable[Any]) -> bool:
    """Whether the link of this very registration has left already.

    What happened before the registration may be told after it, and makes it another episode.
    """
    began = milliseconds(state.registered_at)
    known = [
        row.received_at
        for row in told
        if row.event_ts >= began and row.join_url and row.join_url == state.join_url
    ]
    return bool(known) and outbox.left_since(connection, person, CONFIRMATION, min(known))


def _owe_confirmation(
    connection: Connection,
    person: int,
    state: State,
    meeting: Any,
    campaign: Campaign,
    now: datetime,
) -> bool:
    if meeting.cancelled_at is not None:
        return notices.owe_cancelled(connection, meeting, now) > 0
    if state.status != "approved" or not campaign.sends_confirmations:
        return False
    if meeting.end_at is None or now >= meeting.end_at:
        return False
    letter = outbox.owe(
        connection,
        registrant=person,
        focus_group=meeting.focus_group,
        kind=CONFIRMATION,
        occasion=f"episode {state.episode}",
        episode=state.episode,
        start_at=meeting.start_at,
        due_at=now,
        worth_until=meeting.end_at,
        now=now,
    )
    return letter is not None


def milliseconds(moment: datetime) -> int:
    """As Zoom stamps its events."""
    return int(moment.timestamp() * 1000)
