"""Reads Zoom's lists and repairs what a lost notification left out of what we know.

What a list shows is learnt like any notification. What it lacks concludes nothing by itself: only
two complete listings in a row, ten minutes or more apart, say that somebody is gone.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection

from resonance_zoom.campaign import Campaign
from resonance_zoom.learning import Told, learn
from resonance_zoom.registrations import (
    ACTIVE,
    LISTED,
    SAME_MOMENT,
    UNLISTED,
    Event,
    milliseconds,
)
from resonance_zoom.store import journal, people
from resonance_zoom.store.engine import Store
from resonance_zoom.zoom.payloads import Notification, Registrant
from resonance_zoom.zoom.protocol import event_key

LISTINGS = ("approved", "pending", "denied")
SETTLED = timedelta(minutes=15)  # Zoom's lists may lag behind its own events
BETWEEN_LISTINGS = timedelta(minutes=10)


class Listing(Protocol):
    """The part of the Zoom client that a sweep needs."""

    def registrant_pages(self, meeting_id: int, status: str) -> Iterator[list[Registrant]]:
        """Every page of one status; raises in mid-listing when a page cannot be had."""
        ...


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
    beside: set[str] = field(default_factory=set)  # ids of people's registrations but the newest
    newer: dict[str, Registrant] = field(default_factory=dict)  # than the one that we know of

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


def sweep_meeting(
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
            if lines := _unlike_what_we_know(store, page, status, found):
                ids = {listed.id for listed in page}
                with store.write() as connection:
                    _page_came(connection, lines, ids, found, meeting, campaign, began, now())
    found.complete = True
    with store.write() as connection:
        _conclude(connection, found, meeting, campaign, began, gone_is_agreed=gone_is_agreed)
    return found


def _unlike_what_we_know(
    store: Store, page: Sequence[Registrant], status: str, found: Sweep
) -> dict[str, Registrant]:
    """Lines to look at closely, by address: nearly always a page shows what we know already."""
    # One person may hold two of Zoom's registrations: the newest speaks, an approved one first.
    newest = {people.fold(listed.email): listed for listed in page}
    if len(newest) < len(page):
        newest = {people.fold(listed.email): listed for listed in sorted(page, key=_created)}
    if not found.seen.isdisjoint(newest):
        newest = {folded: line for folded, line in newest.items() if folded not in found.seen}
    found.listed += len(page)
    found.seen |= newest.keys()
    if len(newest) < len(page):
        newest_ids = {line.id for line in newest.values()}
        found.beside.update(line.id for line in page if line.id not in newest_ids)
    with store.read() as connection:
        rows = people.shown(connection, found.focus_group, newest)
    for folded, registered_at, *shown in rows:
        line = newest[folded]
        came_later = line.create_time is not None and line.create_time > registered_at + SAME_MOMENT
        if shown == [status, line.join_url, line.first_name, line.last_name] and not came_later:
            del newest[folded]
    return {folded: line._replace(status=status) for folded, line in newest.items()}


def _page_came(
    connection: Connection,
    lines: Mapping[str, Registrant],
    ids: Collection[str],
    found: Sweep,
    meeting: Any,
    campaign: Campaign,
    began: datetime,
    now: datetime,
) -> None:
    group = meeting.focus_group
    known = people.known(connection, [(group, folded) for folded in lines])
    back = [row.id for row in known.values() if row.absent_since is not None]
    people.mark_absent(connection, back, None)
    told: list[Told] = []
    for folded, listed in lines.items():
        row = known.get((group, folded))
        if row is not None and _may_have_left(listed, row):
            found.newer[folded] = listed
        told += _news(listed, row, ids, meeting, began)
    for news, outcome in zip(told, learn(connection, told, campaign, now), strict=True):
        if news.event.event == LISTED:
            found.repaired += outcome.changed
            found.refreshed += outcome.new and not outcome.changed
            found.owed += outcome.owed


def _news(
    listed: Registrant, row: Any | None, ids: Collection[str], meeting: Any, began: datetime
) -> Iterable[Told]:
    """What a line of a listing says that is not known yet. `ids`: of the whole page."""
    event_ts = _listed_ts(listed, row, began)
    if listed.create_time and row is not None and _registered_anew(listed, row, ids):
        event_ts = milliseconds(listed.create_time)
        yield _unlisted(row, event_ts - 1, meeting)
    if event_ts is None:
        return
    event = Event(
        event=LISTED,
        event_ts=event_ts,
        source="sweep",
        status=listed.status,
        registrant_id=listed.id,
        email=listed.email,
        first_name=listed.first_name,
        last_name=listed.last_name,
        join_url=listed.join_url,
        create_time=listed.create_time,
    )
    key = event_key(Notification(LISTED, event_ts, meeting.zoom_meeting_id, listed))
    yield Told(event, key, meeting)


def _listed_ts(listed: Registrant, row: Any | None, began: datetime) -> int | None:
    """The stamp under which a listing's line is news, None when it is none (or may be lagging)."""
    if row is not None and row.status == listed.status:
        if _lags(listed, row, began):
            return None
        same = (row.join_url == listed.join_url or not listed.join_url) and (
            row.first_name,
            row.last_name,
        ) == (listed.first_name, listed.last_name)
        # Just after what is known: a cancellation told later than this list still wins.
        return None if same else int(row.decided_ts) + 1
    created = milliseconds(listed.create_time) if listed.create_time else None
    if row is None:
        return created or milliseconds(began)
    if row.status == "pending" and listed.status == "approved":
        return milliseconds(began)
    if listed.status in ACTIVE and created and created > row.decided_ts:
        return created
    return milliseconds(began) if row.decided_ts < milliseconds(began - SETTLED) else None


def _lags(listed: Registrant, row: Any, began: datetime) -> bool:
    """Whether a list may still show the registration before the one that we were told of.

    Its link no longer works: it must not take the place of the new one.
    """
    return (
        listed.create_time is not None
        and listed.create_time < row.registered_at - SAME_MOMENT
        and row.decided_ts >= milliseconds(began - SETTLED)
    )


def _may_have_left(listed: Registrant, row: Any) -> bool:
    """Whether a list shows a later registration than our first, though nobody told of a loss."""
    return (
        {listed.status, row.status} <= set(ACTIVE)
        and listed.create_time is not None
        and listed.create_time > row.registered_at + SAME_MOMENT
        and milliseconds(listed.create_time) <= row.decided_ts
    )


def _left_between(connection: Connection, found: Sweep, meeting: Any) -> Iterator[Told]:
    """The loss that nobody told of, of those whose new registration was told.

    Their earlier one is in no list any more; of two that Zoom holds side by side it would be.
    """
    group = meeting.focus_group
    persons = [(group, folded) for folded in found.newer]
    known = people.known(connection, persons)
    for person, events in people.histories(connection, persons).items():
        listed, row = found.newer[person[1]], known.get(person)
        if row is None:
            continue  # erased in the meantime
        began = milliseconds(listed.create_time) if listed.create_time else 0
        before = [event for event in events if event.event_ts < began and event.status in ACTIVE]
        still_there = any(event.registrant_id in found.beside - {listed.id} for event in before)
        links = {event.join_url for event in before if event.join_url}
        if links and listed.join_url not in links and not still_there:
            yield _unlisted(row, began - 1, meeting)


def _registered_anew(listed: Registrant, row: Any, ids: Collection[str]) -> bool:
    """Whether the person left and came back with a new link, and none of it was told to us."""
    return (
        listed.join_url != row.join_url
        and {listed.status, row.status} <= set(ACTIVE)
        and listed.create_time is not None
        and listed.create_time > row.registered_at + SAME_MOMENT
        and milliseconds(listed.create_time) > row.decided_ts
        and (listed.join_url is not None or listed.status == "pending")
        and (listed.id == row.registrant_id or row.registrant_id not in ids)
    )


def _unlisted(row: Any, event_ts: int, meeting: Any) -> Told:
    """The registration that we know of is in no list any more."""
    event = Event(
        event=UNLISTED,
        event_ts=event_ts,
        source="sweep",
        status="cancelled",
        registrant_id=row.registrant_id or "",
        email=row.email,
        first_name=row.first_name,
        last_name=row.last_name,
    )
    left = Registrant(event.registrant_id, row.email, "", "", "cancelled", None)
    key = event_key(Notification(UNLISTED, event_ts, meeting.zoom_meeting_id, left))
    return Told(event, key, meeting)


def _conclude(
    connection: Connection,
    found: Sweep,
    meeting: Any,
    campaign: Campaign,
    began: datetime,
    *,
    gone_is_agreed: bool,
) -> None:
    between = [*_left_between(connection, found, meeting)]
    for outcome in learn(connection, between, campaign, began):
        found.repaired += outcome.changed
        found.owed += outcome.owed
    active = people.active_addresses(connection, meeting.focus_group)
    unseen = [number for number, folded in active if folded not in found.seen]
    settled = milliseconds(began - SETTLED)
    lacking = [row for row in people.with_ids(connection, unseen) if row.decided_ts < settled]
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
    # As of the first list without them: who registered again since then has not left.
    left = [_unlisted(row, milliseconds(row.absent_since), meeting) for row in gone]
    learn(connection, left, campaign, began)
    found.gone = len(gone)


def _created(listed: Registrant) -> tuple[float, str]:
    return (listed.create_time.timestamp() if listed.create_time else 0.0, listed.id)
