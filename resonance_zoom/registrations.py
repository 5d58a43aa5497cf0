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

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection

from resonance_zoom.campaign import CONFIRMATION, Campaign
from resonance_zoom.errors import NotFound
from resonance_zoom.store import journal, outbox, people
from resonance_zoom.store.engine import Store
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
LISTINGS = ("approved", "pending", "denied")
SETTLED = timedelta(minutes=15)  # Zoom's lists may lag behind its own events
SAME_MOMENT = timedelta(minutes=2)  # `create_time` and the stamp of the event, for one act
BETWEEN_LISTINGS = timedelta(minutes=10)
_ACTIVE = ("approved", "pending")
_TIE = {"pending": 0, "approved": 1, "denied": 2, "cancelled": 3}  # a cancellation wins a tie


class Listing(Protocol):
    """The part of the Zoom client that a sweep needs."""

    def registrant_pages(self, meeting_id: int, status: str) -> Iterator[list[Registrant]]:
        """Every page of one status; raises in mid-listing when a page cannot be had."""
        ...


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
        active = event.status in _ACTIVE
        if state is None:
            state = _first(event)
        elif active and state.status not in _ACTIVE and not _same_again(event, state, lost_by):
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
    """Keep an event under its key and let the person's state follow from all of theirs."""
    group, folded = meeting.focus_group, people.fold(event.email)
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
    state = state_of(_event(row) for row in people.history(connection, group, folded))
    person = people.save(connection, group, folded, {**state.columns(), "absent_since": None})
    owed = _owe_confirmation(connection, person, state, meeting, campaign, now)
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


def active_person(connection: Connection, focus_group: str, email: str) -> Any:
    """The registrant who holds a place. Raises NotFound when nobody of that address does."""
    row: Any = people.person(connection, focus_group, people.fold(email))
    if row is None or row.status not in _ACTIVE:
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
    notification = Notification(WITHDRAWN, _ms(now), meeting.zoom_meeting_id, left)
    event = Event(
        event=WITHDRAWN,
        event_ts=_ms(now),
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


def _owe_confirmation(
    connection: Connection,
    person: int,
    state: State,
    meeting: Any,
    campaign: Campaign,
    now: datetime,
) -> bool:
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


@dataclass(slots=True)
class Sweep:
    """What a sweep of one meeting saw and repaired. `complete`: every page of every list came."""

    focus_group: str
    complete: bool = False
    listed: int = 0
    repaired: int = 0
    refreshed: int = 0
    absent: int = 0
    gone: int = 0
    withheld: int = 0
    owed: int = 0
    seen: set[str] = field(default_factory=set)

    def sentence(self) -> str:
        """What it did, for staff."""
        parts = [f"{self.listed} listed"]
        counted = (
            ("repaired", self.repaired),
            ("refreshed", self.refreshed),
            ("absent, asked again later", self.absent),
            ("gone", self.gone),
            ("gone, waiting for a yes", self.withheld),
        )
        parts += [f"{count} {what}" for what, count in counted if count]
        return f"{self.focus_group}: " + ", ".join(parts)


def sweep(
    store: Store,
    zoom: Listing,
    meeting: Any,
    campaign: Campaign,
    now: Callable[[], datetime],
    *,
    gone_is_agreed: bool = False,
) -> Sweep:
    """List approved, pending and denied at Zoom, every page, and repair what we know of them.

    What a page shows is used at once. Absence counts only after a complete listing, and only the
    second in a row, ten minutes or more after the first, concludes that somebody is gone; more than
    three (or a tenth) at once wait for `gone_is_agreed`. A fault in mid-listing goes up after what
    came before it was kept.
    """
    began, found = now(), Sweep(meeting.focus_group)
    for status in LISTINGS:
        for page in zoom.registrant_pages(meeting.zoom_meeting_id, status):
            with store.write() as connection:
                _page_came(connection, page, status, found, meeting, campaign, began, now())
    found.complete = True
    with store.write() as connection:
        _conclude(connection, found, meeting, campaign, began, gone_is_agreed=gone_is_agreed)
    return found


def _page_came(
    connection: Connection,
    page: Sequence[Registrant],
    status: str,
    found: Sweep,
    meeting: Any,
    campaign: Campaign,
    began: datetime,
    now: datetime,
) -> None:
    # One person may hold two of Zoom's registrations: the newest speaks, an approved one first.
    newest = {people.fold(listed.email): listed for listed in sorted(page, key=_created)}
    fresh = {folded: listed for folded, listed in newest.items() if folded not in found.seen}
    known = people.people_of(connection, meeting.focus_group, fresh.keys())
    found.listed += len(page)
    found.seen |= fresh.keys()
    back = [row.id for row in known.values() if row.absent_since is not None]
    people.mark_absent(connection, back, None)
    for folded, registrant in fresh.items():
        listed = replace(registrant, status=status)
        row = known.get(folded)
        event_ts = _listed_ts(listed, row, began)
        if event_ts is None:
            continue
        event = Event(
            event=LISTED,
            event_ts=event_ts,
            source="sweep",
            status=status,
            registrant_id=listed.id,
            email=listed.email,
            first_name=listed.first_name,
            last_name=listed.last_name,
            join_url=listed.join_url,
            create_time=listed.create_time,
        )
        key = event_key(Notification(LISTED, event_ts, meeting.zoom_meeting_id, listed))
        outcome = learn(connection, event, key, meeting, campaign, now)
        found.repaired += outcome.changed
        found.refreshed += outcome.new and not outcome.changed
        found.owed += outcome.owed


def _listed_ts(listed: Registrant, row: Any | None, began: datetime) -> int | None:
    """The stamp under which a listing's line is news, None when it is none (or may be lagging)."""
    created = _ms(listed.create_time) if listed.create_time else None
    if row is None:
        return created or _ms(began)
    if row.status == listed.status:
        same = (row.join_url == listed.join_url or not listed.join_url) and (
            row.first_name,
            row.last_name,
        ) == (listed.first_name, listed.last_name)
        return None if same else _ms(began)
    if row.status == "pending" and listed.status == "approved":
        return _ms(began)
    if listed.status in _ACTIVE and created and created > row.decided_ts:
        return created
    return _ms(began) if row.decided_ts < _ms(began - SETTLED) else None


def _conclude(
    connection: Connection,
    found: Sweep,
    meeting: Any,
    campaign: Campaign,
    began: datetime,
    *,
    gone_is_agreed: bool,
) -> None:
    active = people.active_people(connection, meeting.focus_group)
    lacking = [
        row
        for row in active
        if row.email_folded not in found.seen and row.decided_ts < _ms(began - SETTLED)
    ]
    newly = [row.id for row in lacking if row.absent_since is None]
    people.mark_absent(connection, newly, began)
    found.absent = len(newly)
    gone = [
        row
        for row in lacking
        if row.absent_since is not None and began - row.absent_since >= BETWEEN_LISTINGS
    ]
    if len(gone) > max(3, len(active) // 10) and not gone_is_agreed:
        found.withheld = len(gone)
        journal.note(
            connection,
            began,
            "sweep.many_gone",
            f"{len(gone)} of {len(active)} registrants are no longer in Zoom's lists;"
            " nothing is concluded before somebody agrees:"
            f" resonance-zoom sync {meeting.focus_group} --agree-gone",
            level=journal.ERROR,
            focus_group=meeting.focus_group,
            gone=len(gone),
            active=len(active),
        )
        return
    for row in gone:
        event = Event(
            event=UNLISTED,
            event_ts=_ms(began),
            source="sweep",
            status="cancelled",
            registrant_id=row.registrant_id or "",
            email=row.email,
            first_name=row.first_name,
            last_name=row.last_name,
        )
        left = Registrant(event.registrant_id, row.email, "", "", "cancelled", None)
        key = event_key(Notification(UNLISTED, event.event_ts, meeting.zoom_meeting_id, left))
        learn(connection, event, key, meeting, campaign, began)
        found.gone += 1


def _created(listed: Registrant) -> tuple[float, str]:
    return (listed.create_time.timestamp() if listed.create_time else 0.0, listed.id)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
