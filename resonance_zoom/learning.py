"""Takes in what Zoom tells of registrants, many at once: events kept, people changed, letters owed.

One webhook, a group of them, a page of a listing: each is a handful of statements, however many
people it names. All of it happens in the caller's transaction, and there is one writer at a time:
what is read here cannot change before it is written.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from resonance_zoom import holds, notices
from resonance_zoom.campaign import CONFIRMATION, Campaign
from resonance_zoom.errors import NotFound
from resonance_zoom.registrations import (
    ACTIVE,
    CREATED,
    REGISTRATION_EVENTS,
    WITHDRAWN,
    Event,
    State,
    milliseconds,
    state_of,
)
from resonance_zoom.store import erasure, journal, outbox, people
from resonance_zoom.store.people import Person
from resonance_zoom.zoom.payloads import Notification, Registrant
from resonance_zoom.zoom.protocol import event_key

_FIELDS = Event._fields


class Told(NamedTuple):
    """An event under the key that makes it unique, and the row of its meeting."""

    event: Event
    key: str
    meeting: Any

    @property
    def person(self) -> Person:
        """Whom it is about."""
        return self.meeting.focus_group, people.fold(self.event.email)


class Outcome(NamedTuple):
    """What an event changed: nothing new, or a person's status and whether a letter is owed.

    `unclear`: another registration of somebody who holds a place. Either nobody told that they had
    left, and the link that they have is dead, or Zoom holds both: only its lists can say.
    """

    new: bool
    changed: bool = False
    owed: bool = False
    unclear: bool = False


_NOTHING_NEW = Outcome(new=False)


def notified(notification: Notification, meeting: Any, now: datetime) -> Told:
    """A webhook about a registrant, to be learnt. `meeting` is the row that it names."""
    registrant = notification.registrant
    if registrant is None:
        raise ValueError(f"{notification.event} without a registrant")
    event = Event(
        event=notification.event,
        event_ts=notification.event_ts or milliseconds(now),
        source="webhook",
        status=registrant.status,
        registrant_id=registrant.id,
        email=registrant.email,
        first_name=registrant.first_name,
        last_name=registrant.last_name,
        join_url=registrant.join_url,
    )
    return Told(event, event_key(notification), meeting)


def learn(
    connection: Connection, told: Sequence[Told], campaign: Campaign, now: datetime
) -> list[Outcome]:
    """Keep the events and let each person's state follow from all of theirs; an outcome for each.

    An event that is known changes nothing, a late one nothing that newer ones decided. Nothing is
    kept of somebody who was erased and has not registered anew since. The order in which events of
    one person stand in `told` is the order in which the journal tells them.
    """
    if not told:
        return []
    stones = erasure.all_tombstones(connection)
    outcomes: dict[int, Outcome] = {}
    for some in _each_person_once(told):
        lesson = _Lesson(connection, [told[index] for index in some], campaign, now)
        lesson.leave_the_erased(stones)
        lesson.keep_events()
        lesson.change_people()
        lesson.owe_letters()
        lesson.write_journal()
        outcomes.update(zip(some, lesson.outcomes(), strict=True))
    return [outcomes[index] for index in range(len(told))]


def _each_person_once(told: Sequence[Told]) -> Iterator[list[int]]:
    """Indices of `told` in rounds, none of which holds a person or a key twice, or too many."""
    rest = list(range(len(told)))
    while rest:
        met: set[object] = set()
        this_time: list[int] = []
        later: list[int] = []
        for index in rest:
            names = {told[index].key, told[index].person}
            full = len(this_time) == people.A_PAGE
            (later if full or names & met else this_time).append(index)
            met |= names
        yield this_time
        rest = later


@dataclass(slots=True)
class _Item:
    """One event on its way, and what is known of its person."""

    told: Told
    person: Person
    before: Any = None  # the person's row
    new: bool = False
    id: int = 0
    state: State | None = None
    owed: bool = False

    @property
    def changed(self) -> bool:
        was = self.before.status if self.before else None
        again = self.before is not None and self.before.episode != self.state.episode  # type: ignore[union-attr]
        return was != self.state.status or again  # type: ignore[union-attr]

    @property
    def unclear(self) -> bool:
        before, state = self.before, self.state
        return (
            before is not None
            and state is not None
            and not self.changed
            and state.status in ACTIVE
            and bool(before.join_url)
            and before.join_url != state.join_url
        )


@dataclass(slots=True)
class _Lesson:
    """A round of events, no person twice."""

    connection: Connection
    told: Sequence[Told]
    campaign: Campaign
    now: datetime
    items: list[_Item] = field(default_factory=list)

    def __post_init__(self) -> None:
        persons = [told.person for told in self.told]
        known = people.known(self.connection, persons)
        self.items = [
            _Item(told, person, known.get(person))
            for told, person in zip(self.told, persons, strict=True)
        ]
        keys = people.known_keys(self.connection, [told.key for told in self.told])
        for item in self.items:
            item.new = item.told.key not in keys

    def fresh(self) -> list[_Item]:
        return [item for item in self.items if item.new]

    def leave_the_erased(self, stones: Sequence[erasure.Tombstone]) -> None:
        for item in self.items if stones else ():
            theirs = [stone for stone in stones if stone.fits(item.person[1])]
            if theirs and self._is_echo(item, theirs[-1]):
                item.new = False

    def _is_echo(self, item: _Item, stone: erasure.Tombstone) -> bool:
        """Whether Zoom speaks of somebody whose data were erased; the journal says so once.

        A registration made after the erasure is a new consent: Zoom's `create_time` in a list, the
        stamp of a created registration in a notification. Whatever else is told of somebody who is
        not known any more is an echo, such as our own deletion at Zoom.
        """
        event, is_known = item.told.event, item.before is not None
        began = event.create_time or (event.at if is_known or event.event == CREATED else None)
        if began is not None and began > stone.erased_at and (is_known or event.status in ACTIVE):
            return False
        if not stone.told:
            erasure.tell(self.connection, stone, self.now)
            journal.note(
                self.connection,
                self.now,
                "registration.ignored",
                "Zoom still names somebody whose data were erased; nothing is kept of it",
                focus_group=item.person[0],
                source=event.source,
            )
        return True

    def keep_events(self) -> None:
        people.add_events(self.connection, [self._row(item) for item in self.fresh()])

    def _row(self, item: _Item) -> dict[str, Any]:
        group, folded = item.person
        return {
            **item.told.event._asdict(),
            "key": item.told.key,
            "zoom_meeting_id": item.told.meeting.zoom_meeting_id,
            "focus_group": group,
            "email_folded": folded,
            "received_at": self.now,
        }

    def change_people(self) -> None:
        """Each state is the sum of all events of the person; who is new gets an id."""
        fresh = self.fresh()
        met_before = [item.person for item in fresh if item.before is not None]
        histories = people.histories(self.connection, met_before)
        for item in fresh:
            if item.before is None:
                item.state, item.owed = state_of([item.told.event]), True
                continue
            rows = histories[item.person]
            item.state = state_of([_event(row) for row in rows])
            since = _link_known_since(item.state, rows)
            item.owed = not (
                since and outbox.left_since(self.connection, item.before.id, CONFIRMATION, since)
            )
        ids = people.save(
            self.connection,
            {item.person: item.state.columns() for item in fresh if item.state is not None},
            known={item.person: item.before.id for item in fresh if item.before is not None},
        )
        for item in fresh:
            item.id = ids[item.person]

    def owe_letters(self) -> None:
        """The confirmation to whom it is owed; to those of a meeting called off, that it is."""
        wanted = [item for item in self.fresh() if item.owed]
        first: list[_Item] = []
        again: list[_Item] = []
        for item in wanted:
            meeting = item.told.meeting
            if meeting.cancelled_at is not None:
                item.owed = notices.owe_cancelled(self.connection, meeting, self.now) > 0
            elif not self._may_be_confirmed(item):
                item.owed = False
            else:
                (first if item.before is None else again).append(item)
        outbox.owe_first(self.connection, [self._confirmation(item) for item in first])
        for item in again:
            item.owed = outbox.owe(self.connection, **self._confirmation(item)) is not None
        if owed := [item.id for item in (*first, *again) if item.owed]:
            holds.hold_beyond_the_day(self.connection, self.campaign, owed, self.now)

    def _may_be_confirmed(self, item: _Item) -> bool:
        meeting, state = item.told.meeting, item.state
        return (
            state is not None
            and state.status == "approved"
            and self.campaign.sends_confirmations
            and meeting.end_at is not None
            and self.now < meeting.end_at
        )

    def _confirmation(self, item: _Item) -> dict[str, Any]:
        meeting, episode = item.told.meeting, item.state.episode if item.state else 1
        return {
            "registrant": item.id,
            "focus_group": meeting.focus_group,
            "kind": CONFIRMATION,
            "occasion": f"episode {episode}",
            "episode": episode,
            "start_at": meeting.start_at,
            "due_at": self.now,
            "worth_until": meeting.end_at,
            "now": self.now,
        }

    def write_journal(self) -> None:
        journal.note_all(self.connection, [self._line(item) for item in self.fresh()])

    def _line(self, item: _Item) -> dict[str, Any]:
        event, state = item.told.event, item.state
        if state is None:
            raise ValueError("an event that was not added up")
        was = item.before.status if item.before else None
        return journal.line(
            self.now,
            REGISTRATION_EVENTS.get(event.event, f"registration.{event.event}"),
            _sentence(event, was, state),
            level=journal.WARNING if event.source == "sweep" and item.changed else journal.INFO,
            focus_group=item.person[0],
            registrant=item.id,
            source=event.source,
            event=event.event,
            event_ts=event.event_ts,
            before=was,
            after=state.status,
            episode=state.episode,
            zoom_registrant_id=event.registrant_id,
            confirmation_owed=item.owed,
        )

    def outcomes(self) -> list[Outcome]:
        return [
            Outcome(new=True, changed=item.changed, owed=item.owed, unclear=item.unclear)
            if item.new
            else _NOTHING_NEW
            for item in self.items
        ]


def _event(row: Any) -> Event:
    return Event(**{name: getattr(row, name) for name in _FIELDS})


def _link_known_since(state: State, rows: Iterable[Any]) -> datetime | None:
    """Since when the link of this very registration is known here.

    What happened before the registration may be told after it, and makes it another episode.
    """
    began = milliseconds(state.registered_at)
    known = (
        row.received_at
        for row in rows
        if row.event_ts >= began and row.join_url and row.join_url == state.join_url
    )
    return min(known, default=None)


def _sentence(event: Event, was: str | None, state: State) -> str:
    told = {"webhook": "Zoom told us", "sweep": "The sweep found", "staff": "Staff said"}[
        event.source
    ]
    if was == state.status:
        return f"{told}: {event.status}; {state.status} as before"
    if state.status != event.status:
        return f"{told}: {event.status}, but something newer is known; {state.status}"
    return f"{told}: {state.status}" + (f" (was {was})" if was else "")


def active_person(connection: Connection, focus_group: str, email: str) -> Any:
    """The registrant who holds a place. Raises NotFound when nobody of that address does."""
    person = focus_group, people.fold(email)
    row: Any = people.known(connection, [person]).get(person)
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
    told = notified(notification, meeting, now)
    names = {"first_name": person.first_name, "last_name": person.last_name}
    event = told.event._replace(source="staff", **names)
    return learn(connection, [told._replace(event=event)], campaign, now)[0]
