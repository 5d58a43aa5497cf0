"""A person's data: what is known of them, and its end, for one who asks or for everybody."""

from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, and_, func, select

from resonance_zoom import backups, meetings
from resonance_zoom.acts import Desk, RegistrantDesk, registrant
from resonance_zoom.campaign import Campaign
from resonance_zoom.errors import DatabaseBusy, NotFound, ResonanceError, ZoomNotFound, ZoomRefused
from resonance_zoom.mail import maildir
from resonance_zoom.store import claims, erasure, journal, people, sessions
from resonance_zoom.store.engine import Store
from resonance_zoom.store.tables import events, letters, registrants
from resonance_zoom.store.tables import journal as lines
from resonance_zoom.sweep import LISTINGS

PURPOSES = {
    "registrations": "to hold your place, and to send you your link",
    "told": "what Zoom told us about your registrations, and when",
    "letters": "which letter left for you, the mail server's answer, so that none goes twice,"
    " and whether it came back",
    "journal": "what the service and the staff did about your registrations",
}
LEFTOVERS = "leftovers"  # in `meta`: something was erased, and its bytes are not yet gone


def export(connection: Connection, email: str) -> dict[str, Any]:
    """{"registrations", "told", "letters", "journal", "purposes"}; times ISO, UTC.

    Raises NotFound when nobody of that address is known.
    """
    rows = people.with_email(connection, email)
    if not rows:
        raise NotFound(f"nobody is known as {email}")
    ids = [row.id for row in rows]
    # With the groups the index of events finds them at once, where the address alone does not.
    told = and_(
        events.c.focus_group.in_([row.focus_group for row in rows]),
        events.c.email_folded == people.fold(email),
    )
    return {
        "email": rows[0].email,
        "purposes": PURPOSES,
        "registrations": _rows(connection, registrants, registrants.c.id.in_(ids)),
        "told": _rows(connection, events, told),
        "letters": _rows(connection, letters, letters.c.registrant.in_(ids)),
        "journal": _rows(connection, lines, lines.c.registrant.in_(ids)),
    }


def _rows(connection: Connection, table: Table, condition: Any) -> list[dict[str, Any]]:
    found = connection.execute(select(table).where(condition).order_by(table.c.id)).mappings()
    return [{name: _plain(value) for name, value in row.items()} for row in found]


def _plain(value: Any) -> Any:
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value


def erase(desk: Desk, zoom: RegistrantDesk, number: int) -> int:
    """Erase all that is known of a person, in every group, at Zoom first; returns how many groups.

    What stays are counts, and a tombstone that keeps Zoom's lists and old backups from bringing
    the person back. Raises ZoomError when Zoom could not be told: then the person is still known
    here, and the act can be repeated.
    """
    with desk.store.read() as connection:
        email = registrant(connection, number).email
        if not email:
            raise NotFound(f"registrant {number} was erased already")
        known = {row.focus_group: row for row in people.with_email(connection, email)}
        held: list[Any] = list(meetings.open_rows(connection))
    for meeting in held:
        _leave_zoom(zoom, meeting.zoom_meeting_id, email, known.get(meeting.focus_group))
    with desk.store.write() as connection:
        rows = people.with_email(connection, email)
        for row in rows:
            _discard_letters(connection, desk.store, row.id)
            erasure.forget(connection, row)
            desk.note(
                connection,
                "erase",
                "personal data erased",
                focus_group=row.focus_group,
                registrant=row.id,
            )
        sessions.unsay(connection)
        erasure.bury(connection, people.fold(email), desk.now)
        journal.remember(connection, LEFTOVERS, {"copies": False})
        journal.forget(connection, backups.BACKED_UP)
    with suppress(DatabaseBusy):  # `purge_personal_data` looks after it within the hour
        clear_leftovers(desk.store)
    return len(rows)


def _discard_letters(connection: Connection, store: Store, number: int) -> None:
    """Without a mail server, whole letters lie in a Maildir."""
    sent = select(letters.c.message_id).where(
        letters.c.registrant == number, letters.c.message_id.is_not(None)
    )
    maildir.discard(_mail(store), connection.execute(sent).scalars())


def _mail(store: Store) -> Path:
    return store.folder / "mail"


def clear_leftovers(store: Store) -> None:
    """Let the bytes of what was erased vanish from the file, its log and, if said, its copies.

    Safe to repeat. Raises DatabaseBusy while somebody reads; it is due until it is done.
    """
    with store.read() as connection:
        due = journal.recall(connection, LEFTOVERS)
    if due is None:
        return
    store.scrub()
    if due["copies"]:
        backups.remove_all(store)
        maildir.discard_all(_mail(store))
    with store.write() as connection:
        journal.forget(connection, LEFTOVERS)


def kept_until(connection: Connection, campaign: Campaign) -> date:
    """The local day on which all personal data are erased, as letters and pages tell.

    A meeting that was moved by hand on Zoom to a later day counts from that day.
    """
    return campaign.kept_until(claims.last_end(connection))


def due_at(connection: Connection, campaign: Campaign) -> datetime:
    """When that day begins."""
    return campaign.midnight(kept_until(connection, campaign))


def is_due(connection: Connection, store: Store, campaign: Campaign, now: datetime) -> bool:
    """Whether the time has come, and there is anything to erase."""
    due = due_at(connection, campaign)
    if now < due:
        return False
    # A database that was restored from before anybody registered knows nobody; newer backups do.
    first_without = f"{store.stem}-{due:%Y-%m-%d}{store.suffix}"
    older = any(backup.name < first_without for backup in backups.daily(store))
    return older or erasure.knows_somebody(connection)


def purge(desk: Desk) -> dict[str, int]:
    """Erase everybody, here and in every copy beside the database; the counts stay.

    Returns {"registrants", "events", "letters"}. Raises ResonanceError before the day that people
    were told: nothing is lost by waiting, and `close` is for who wants to end earlier.
    """
    with desk.store.write() as connection:
        due = due_at(connection, desk.campaign)
        if desk.now < due:
            day = due.astimezone(desk.campaign.timezone)
            raise ResonanceError(
                f"personal data are kept until {day:%Y-%m-%d}"
                f" ({desk.campaign.keep_days_after_last} days after the last meeting)",
                remedy="The service erases them by itself then. To erase one person:"
                " resonance-zoom erase EMAIL; to end a campaign that is over: resonance-zoom close",
            )
        erased = _forget_everybody(connection, desk)
        desk.note(connection, "purge", "all personal data erased; counts stay", **erased)
    clear_leftovers(desk.store)
    return erased


def _forget_everybody(connection: Connection, desk: Desk) -> dict[str, int]:
    erased = erasure.forget_everybody(connection, desk.now)
    sessions.unsay(connection)
    journal.remember(connection, LEFTOVERS, {"copies": True})
    journal.forget(connection, backups.BACKED_UP)
    return erased


def close(desk: Desk, zoom: RegistrantDesk) -> dict[str, Any]:
    """End a campaign that is over: everybody is erased at Zoom and here; returns the receipt.

    Raises ResonanceError while a meeting is still to come, ZoomError when Zoom cannot be asked;
    then nothing was erased here, and closing can be repeated.
    """
    with desk.store.read() as connection:
        rows: list[Any] = list(meetings.rows(connection))
    _refuse_before_the_end(desk, rows)
    at_zoom = {row.focus_group: _empty_at_zoom(zoom, row) for row in rows}
    with desk.store.write() as connection:
        groups = [_account(connection, row, at_zoom[row.focus_group]) for row in rows]
        erased = _forget_everybody(connection, desk)
        receipt = {
            "campaign": desk.campaign.slug,
            "closed_at": f"{desk.now:%Y-%m-%dT%H:%M:%SZ}",
            "by": desk.by,
            "erased": erased,
            "focus_groups": groups,
            "kept": "counts, times, the journal without names",
        }
        desk.note(
            connection, "close", "campaign closed: everybody erased here and at Zoom", **erased,
            receipt=receipt,
        )  # fmt: skip
    clear_leftovers(desk.store)
    return receipt


def _refuse_before_the_end(desk: Desk, rows: list[Any]) -> None:
    held = {row.focus_group: row.end_at for row in rows if row.cancelled_at is None and row.end_at}
    planned = {group.slug: group.end for group in desk.campaign.focus_groups if not group.cancelled}
    coming = [slug for slug, end in {**planned, **held}.items() if end > desk.now]
    if coming:
        raise ResonanceError(
            f"the campaign is not over: {', '.join(sorted(coming))} is still to come",
            remedy="Close it after the last meeting; one person: resonance-zoom erase EMAIL",
        )


def _empty_at_zoom(zoom: RegistrantDesk, row: Any) -> dict[str, Any]:
    """Delete every registrant of a meeting at Zoom: {"deleted", "left", "says"}.

    What Zoom refuses for good is left, and told: somebody must do it on zoom.us.
    """
    says = ""
    if row.zoom_meeting_id is None:
        return {"deleted": 0, "left": 0, "says": "there was no meeting"}
    try:
        ids = _listed(zoom, row.zoom_meeting_id)
        for registrant_id in sorted(ids):
            try:
                zoom.delete_registrant(row.zoom_meeting_id, registrant_id)
            except ZoomRefused as error:
                says = error.message
            except ZoomNotFound:
                continue  # gone meanwhile
        left = _listed(zoom, row.zoom_meeting_id) if ids else set()
    except ZoomNotFound:
        says = "the meeting is no longer on Zoom, nor are its registrants"
        return {"deleted": 0, "left": 0, "says": says}
    return {"deleted": len(ids - left), "left": len(left), "says": says if left else ""}


def _leave_zoom(zoom: RegistrantDesk, meeting_id: int, email: str, known: Any | None) -> None:
    """Delete every registration of an address at Zoom, also those that we know nothing of."""
    with suppress(ZoomNotFound):  # a meeting that is gone took them with it
        ids = _listed(zoom, meeting_id, people.fold(email))
        for registrant_id in sorted(ids):
            with suppress(ZoomNotFound):
                zoom.delete_registrant(meeting_id, registrant_id)
        if known is not None and known.registrant_id and known.registrant_id not in ids:
            # A list may lag. What it does not show, Zoom mostly knows no more, and says so by 400.
            with suppress(ZoomRefused):
                zoom.delete_registrant(meeting_id, known.registrant_id)


def _listed(zoom: RegistrantDesk, meeting_id: int, email_folded: str | None = None) -> set[str]:
    """Zoom's ids of a meeting's registrants, of one address or of all."""
    return {
        one.id
        for status in LISTINGS
        for page in zoom.registrant_pages(meeting_id, status)
        for one in page
        if email_folded in {None, people.fold(one.email)}
    }


def _account(connection: Connection, row: Any, at_zoom: dict[str, Any]) -> dict[str, Any]:
    """One group's part of the receipt: counts alone."""

    def counts(column: Any, condition: Any) -> dict[str, int]:
        found = connection.execute(select(column, func.count()).where(condition).group_by(column))
        return {row[0]: row[1] for row in found}

    return {
        "slug": row.focus_group,
        "start": _plain(row.start_at),
        "zoom_meeting_id": row.zoom_meeting_id,
        "registrants": counts(registrants.c.status, registrants.c.focus_group == row.focus_group),
        "letters": counts(letters.c.state, letters.c.focus_group == row.focus_group),
        "at_zoom": at_zoom,
    }
