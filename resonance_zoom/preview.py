"""A letter as it would be sent, byte for byte: for a real registrant, or for nobody real."""

import email
import email.policy
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

from sqlalchemy import Connection, select

from resonance_zoom import meetings
from resonance_zoom.campaign import FocusGroup
from resonance_zoom.errors import NotFound, ResonanceError
from resonance_zoom.service import Service
from resonance_zoom.store import claims, people
from resonance_zoom.store.tables import registrants

MESSAGE_ID = "<preview@localhost>"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nobody:
    """Who a sample is made out to. Number 0 is nobody's: the links in it lead nowhere."""

    email: str
    id: int = 0
    first_name: str = "Camille"
    last_name: str = "Martin"
    join_url: str = "https://zoom.us/w/10000000000?tk=exemple"
    episode: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """A meeting that does not exist yet, as the file says it."""

    focus_group: str
    topic: str
    start_at: datetime
    end_at: datetime
    zoom_meeting_id: int = 10000000000
    revision: int = 0
    former_start: datetime | None = None
    former_end: datetime | None = None
    dial_in: Any = None


def message(
    service: Service, kind: str, *, email: str | None = None, focus_group: str | None = None
) -> bytes:
    """The bytes of a letter for a registrant: the one of that address, or the latest, or nobody.

    Raises NotFound for an unknown kind or address, ResonanceError when it cannot be made.
    """
    _known(service, kind)
    if not service.store.exists():
        return sample(service, kind, email="camille.martin@example.org", focus_group=focus_group)
    service.store.require_current()
    with service.store.read() as connection:
        person = _somebody(connection, email, focus_group)
        if person is None:
            return sample(
                service, kind, email="camille.martin@example.org", focus_group=focus_group
            )
        return for_registrant(service, connection, kind, person)


def for_registrant(service: Service, connection: Connection, kind: str, person: Any) -> bytes:
    """The bytes that this registrant would get now. Raises as `message` does."""
    _known(service, kind)
    meeting = meetings.row_in(connection, person.focus_group)
    if meeting is None:
        raise NotFound(f"the meeting of {person.focus_group} does not exist yet")
    return service.composer.compose(
        kind=kind,
        person=person,
        meeting=meeting,
        others=claims.others_of(connection, person, service.now()),
        told_start=claims.told_start(connection, person.id),
        last_end=claims.last_end(connection),
        message_id=MESSAGE_ID,
        date=service.now(),
    )


def sample(service: Service, kind: str, *, email: str, focus_group: str | None = None) -> bytes:
    """The same letter made out to nobody who is registered. Raises as `message` does."""
    _known(service, kind)
    group = _group(service, focus_group)
    planned = _Planned(
        focus_group=group.slug,
        topic=group.title,
        start_at=group.start,
        end_at=group.end,
        former_start=group.start - timedelta(days=7),
        former_end=group.end - timedelta(days=7),
    )
    return service.composer.compose(
        kind=kind,
        person=_Nobody(email=email),
        meeting=planned,
        others=(),
        told_start=planned.former_start,
        message_id=MESSAGE_ID,
        date=service.now(),
    )


def refuse_strangers(service: Service, address: str) -> None:
    """Raises ResonanceError unless an address belongs to the staff and to no registrant.

    Staff: the organiser, the host, the sender, and whoever shares the organiser's domain.
    """
    folded = people.fold(address)
    known = {service.campaign.organiser.email, service.campaign.zoom_host, service.composer.sender}
    staff = {people.fold(one) for one in known if "@" in one}
    domain = people.fold(service.campaign.organiser.email).rpartition("@")[2]
    if folded not in staff and folded.rpartition("@")[2] != domain:
        raise ResonanceError(
            f"{address} is no address of the staff: test letters go to {', '.join(sorted(staff))}"
            f" or to others at {domain}"
        )
    if not service.store.exists():
        return
    with service.store.read() as connection:
        if people.with_email(connection, address) and folded not in staff:
            raise ResonanceError(f"{address} is registered: test letters go to staff only")


def text_of(message: bytes) -> str:
    """Headers that people see, and the text part."""
    parsed = _parsed(message)
    heads = [f"{name}: {parsed[name]}" for name in ("From", "To", "Subject")]
    part = parsed.get_body(("plain",))
    return "\n".join([*heads, "", part.get_content() if part else ""])


def html_of(message: bytes) -> str:
    """The HTML part."""
    part = _parsed(message).get_body(("html",))
    return str(part.get_content()) if part else ""


def _parsed(message: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    if not isinstance(parsed, EmailMessage):
        raise TypeError("the policy makes EmailMessage")
    return parsed


def _known(service: Service, kind: str) -> None:
    if kind not in service.campaign.letter_kinds:
        raise NotFound(
            f"there is no letter {kind!r}",
            remedy=f"There are: {', '.join(service.campaign.letter_kinds)}",
        )


def _somebody(connection: Connection, email: str | None, focus_group: str | None) -> Any:
    query = select(registrants).where(registrants.c.email != "")
    if email is not None:
        query = query.where(registrants.c.email_folded == people.fold(email))
    if focus_group is not None:
        query = query.where(registrants.c.focus_group == focus_group)
    approved_first = registrants.c.status != "approved"
    row = connection.execute(query.order_by(approved_first, registrants.c.id.desc())).first()
    if row is None and email is not None:
        raise NotFound(f"nobody is known as {email}", remedy="See: resonance-zoom registrants")
    return row


def _group(service: Service, slug: str | None) -> FocusGroup:
    groups = sorted(service.campaign.focus_groups, key=lambda group: group.start)
    if slug is not None:
        return next(group for group in groups if group.slug == slug)
    return next((group for group in groups if group.end > service.now()), groups[-1])
