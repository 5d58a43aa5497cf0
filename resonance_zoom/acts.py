"""What staff and registrants may do, each act once and in the journal with who did it.

Commands, staff pages and personal pages come here, so that an act is the same whoever asks for it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, or_, select

from resonance_zoom import learning, meetings, notices
from resonance_zoom.campaign import CANCELLED, WITHDRAWN, Campaign
from resonance_zoom.errors import (
    MailRefused,
    NotFound,
    ResonanceError,
    ZoomError,
    ZoomNotFound,
    ZoomRefused,
)
from resonance_zoom.mail.addresses import plain_address
from resonance_zoom.store import journal, outbox, people
from resonance_zoom.store.engine import Store
from resonance_zoom.store.tables import journal as lines
from resonance_zoom.store.tables import letters, registrants
from resonance_zoom.sweep import LISTINGS, Listing

ANY_STATUS = frozenset({CANCELLED, WITHDRAWN})  # letters for those who hold no place any more
HOLDS_A_PLACE = frozenset({"approved", "pending"})


class RegistrantDesk(Listing, Protocol):
    """The part of the Zoom client that these acts need."""

    def delete_registrant(self, meeting_id: int, registrant_id: str) -> None: ...
    def add_registrant(
        self, meeting_id: int, *, email: str, first_name: str, last_name: str
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """Who acts, when, on what: the parts that every act needs. `by` is written to the journal."""

    store: Store
    campaign: Campaign
    now: datetime
    by: str

    def note(self, connection: Connection, kind: str, words: str, **data: Any) -> None:
        """The journal line of an act."""
        journal.note(
            connection, self.now, f"staff.{kind}", f"{words} (by {self.by})", by=self.by, **data
        )


def registrant(connection: Connection, number: int) -> Any:
    """One registrant's row. Raises NotFound."""
    row = connection.execute(select(registrants).where(registrants.c.id == number)).first()
    if row is None:
        raise NotFound(f"there is no registrant {number}", remedy="See: resonance-zoom registrants")
    return row


def letter(connection: Connection, number: int) -> Any:
    """One letter's row. Raises NotFound."""
    row = connection.execute(select(letters).where(letters.c.id == number)).first()
    if row is None:
        raise NotFound(
            f"there is no letter {number}", remedy="See them with: resonance-zoom letters"
        )
    return row


def resend(desk: Desk, number: int) -> int:
    """Queue a letter again; a sent one as a copy of its own. Returns the number that will go.

    Raises ResonanceError when it, or a copy of it, is under way already, the person holds no place,
    or the meeting is over; NotFound, also for who was erased.
    """
    with desk.store.write() as connection:
        row = letter(connection, number)
        person = registrant(connection, row.registrant)
        if not person.email:
            raise NotFound(f"the person of letter {number} was erased")
        until = _end_of(connection, desk.campaign, row.focus_group)
        if person.status != "approved" and row.kind not in ANY_STATUS:
            raise ResonanceError(
                f"letter {number} cannot go: the registration is {person.status}",
                remedy="Only people who are registered get letters.",
            )
        if until <= desk.now:
            raise ResonanceError(f"letter {number} cannot go: the meeting is over")
        again = _queue_again(connection, desk, row, until)
        desk.note(
            connection,
            "resend",
            f"letter {number} is to go again",
            focus_group=row.focus_group,
            registrant=row.registrant,
            letter=again,
            letter_kind=row.kind,
        )
    return again


def _queue_again(connection: Connection, desk: Desk, row: Any, until: datetime) -> int:
    detail = f"by {desk.by}"
    if row.state in {"queued", "sending"}:
        raise ResonanceError(
            f"letter {row.id} is {row.state} already", remedy="See: resonance-zoom letters"
        )
    if (copy := _copy_under_way(connection, row)) is not None:
        raise ResonanceError(
            f"letter {copy}, a copy of letter {row.id}, is under way already",
            remedy="See: resonance-zoom letters",
        )
    if row.state != "sent":
        outbox.by_hand(connection, row.id, now=desk.now, worth_until=until, detail=detail)
        return int(row.id)
    return outbox.copy_by_hand(connection, row, now=desk.now, worth_until=until, detail=detail)


def _copy_under_way(connection: Connection, row: Any) -> int | None:
    """The number of a letter that says the same to the same person and has not left yet."""
    first = row.occasion.partition(" copy ")[0]
    found = select(letters.c.id).where(
        letters.c.registrant == row.registrant,
        letters.c.kind == row.kind,
        or_(
            letters.c.occasion == first,
            letters.c.occasion.startswith(f"{first} copy ", autoescape=True),
        ),
        letters.c.state.in_((outbox.QUEUED, outbox.SENDING)),
    )
    return connection.execute(found.limit(1)).scalar()


def _end_of(connection: Connection, campaign: Campaign, slug: str) -> datetime:
    row: Any = meetings.row_in(connection, slug)
    group = campaign.focus_group(slug)
    if row is not None and row.end_at is not None:
        end: datetime = row.end_at
        return end
    if group is None:
        raise NotFound(f"no focus group {slug!r} in the campaign file")
    return group.end


def drop_letter(desk: Desk, number: int) -> None:
    """A letter that has not left is not to go. Raises ResonanceError, NotFound."""
    with desk.store.write() as connection:
        row = letter(connection, number)
        if not outbox.drop_by_hand(connection, number, detail=f"by {desk.by}"):
            raise ResonanceError(f"letter {number} is {row.state}: there is nothing to take out")
        desk.note(
            connection,
            "drop",
            f"letter {number} is not to go",
            focus_group=row.focus_group,
            registrant=row.registrant,
            letter=number,
            letter_kind=row.kind,
        )


def give_up_place(desk: Desk, zoom: RegistrantDesk, number: int, *, receipt: bool) -> bool:
    """Give up a person's place: deleted at Zoom, so that they may come back. False: Zoom lacked it.

    `receipt`: owe the letter that says so. Raises NotFound when they hold no place, ZoomError when
    Zoom could not be told, or refuses what its lists still show; then nothing has changed.
    """
    with desk.store.read() as connection:
        person = registrant(connection, number)
        meeting: Any = meetings.row_in(connection, person.focus_group)
    _refuse_without_place(person)
    try:
        known = _delete_at_zoom(zoom, meeting, person)
    except ZoomError as error:
        with desk.store.read() as connection:  # refused, because someone got there first?
            _refuse_without_place(registrant(connection, number))
        if not isinstance(error, ZoomRefused) or _is_listed(zoom, meeting, person):
            raise
        known = False
    with desk.store.write() as connection:
        if not registrant(connection, number).email:
            raise NotFound(f"registrant {number} was erased meanwhile")
        if _was_given_up(connection, person):
            raise NotFound(f"the place in {person.focus_group} was given up meanwhile")
        learning.withdrawn(connection, person, meeting, desk.campaign, desk.now)
        if receipt:
            notices.owe_receipt(connection, person, meeting, desk.now)
        desk.note(
            connection,
            "cancel",
            "place given up",
            focus_group=person.focus_group,
            registrant=person.id,
            episode=person.episode,
        )
    return known


def _was_given_up(connection: Connection, person: Any) -> bool:
    """Whether somebody who pressed at the same time got there first.

    The status does not tell: Zoom may have told us of our own deletion before we came to write.
    """
    told = select(lines.c.data).where(
        lines.c.registrant == person.id, lines.c.kind == "staff.cancel"
    )
    return any(data.get("episode") == person.episode for data in connection.execute(told).scalars())


def _refuse_without_place(person: Any) -> None:
    if person.status not in HOLDS_A_PLACE:
        raise NotFound(
            f"no place is held in {person.focus_group}",
            remedy=f"See: resonance-zoom registrants --focus-group {person.focus_group}",
        )


def _delete_at_zoom(zoom: RegistrantDesk, meeting: Any, person: Any) -> bool:
    if meeting is None or meeting.zoom_meeting_id is None or not person.registrant_id:
        return False
    try:
        zoom.delete_registrant(meeting.zoom_meeting_id, person.registrant_id)
    except ZoomNotFound:
        return False
    return True


def _is_listed(zoom: RegistrantDesk, meeting: Any, person: Any) -> bool:
    """Whether Zoom still shows a registrant whom it refuses to delete.

    Of one whom it knows no more it says 400, as it does of much else, so only its lists tell.
    """
    return any(
        person.registrant_id == one.id
        for status in LISTINGS
        for page in zoom.registrant_pages(meeting.zoom_meeting_id, status)
        for one in page
    )


def correct_address(desk: Desk, zoom: RegistrantDesk, number: int, email: str) -> bool:
    """Register a person under the right address and give up the wrong one.

    Zoom changes no address, so this is a new registration with a link of its own: it is made first,
    and what it tells us comes back as a webhook, or with the next sweep. False: it was made, but
    Zoom did not let the wrong one go. Raises ResonanceError for an address that is none, the same
    or in use, and for a meeting that is over or not there; ZoomError when Zoom refuses; NotFound
    for who was erased. Then nothing has changed.
    """
    with desk.store.read() as connection:
        person = registrant(connection, number)
        meeting: Any = meetings.row_in(connection, person.focus_group)
        wanted = person.focus_group, people.fold(email)
        other: Any = people.known(connection, [wanted]).get(wanted)
    _refuse_address(person, other, email)
    if meeting is None or meeting.zoom_meeting_id is None or meeting.end_at <= desk.now:
        raise ResonanceError("the meeting is over, or not on Zoom: nobody can be registered")
    zoom.add_registrant(
        meeting.zoom_meeting_id,
        email=email,
        first_name=person.first_name,
        last_name=person.last_name,
    )
    with desk.store.write() as connection:
        desk.note(
            connection,
            "correct_address",
            "registered again under another address",
            focus_group=person.focus_group,
            registrant=person.id,
        )
    if person.status not in HOLDS_A_PLACE:
        return True
    try:
        give_up_place(desk, zoom, number, receipt=False)
    except NotFound:
        return True  # somebody else gave it up meanwhile
    except ZoomError:
        return False
    return True


def _refuse_address(person: Any, other: Any, email: str) -> None:
    if not person.email:
        raise NotFound(f"registrant {person.id} was erased")
    try:
        plain_address(email)
    except MailRefused as error:
        raise ResonanceError(f"no letter could go to this address: {error.message}") from error
    if people.fold(email) == person.email_folded:
        raise ResonanceError("this is the address that is known already")
    if other is not None and other.status in HOLDS_A_PLACE:
        raise ResonanceError("somebody is registered under this address already")


def pause(desk: Desk) -> None:
    """Stop all sending until `resume`. Registrations are still taken in."""
    with desk.store.write() as connection:
        journal.remember(connection, journal.PAUSED, desk.by)
        desk.note(connection, "pause", "sending paused")


def resume(desk: Desk) -> None:
    """Go on sending."""
    with desk.store.write() as connection:
        journal.forget(connection, journal.PAUSED)
        desk.note(connection, "resume", "sending resumed")
