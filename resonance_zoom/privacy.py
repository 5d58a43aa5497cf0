"""What is known of one person, for that person: every column of theirs, in every group."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, select

from resonance_zoom.errors import NotFound
from resonance_zoom.store import people
from resonance_zoom.store.tables import events, journal, letters, registrants

PURPOSES = {
    "registrations": "to hold your place, and to send you your link",
    "told": "what Zoom told us about your registrations, and when",
    "letters": "which letter left for you, and the mail server's answer, so that none goes twice",
    "journal": "what the service and the staff did about your registrations",
}


def export(connection: Connection, email: str) -> dict[str, Any]:
    """{"registrations", "told", "letters", "journal", "purposes"}; times ISO, UTC.

    Raises NotFound when nobody of that address is known.
    """
    rows = people.with_email(connection, email)
    if not rows:
        raise NotFound(f"nobody is known as {email}")
    ids = [row.id for row in rows]
    return {
        "email": rows[0].email,
        "purposes": PURPOSES,
        "registrations": _rows(connection, registrants, registrants.c.id.in_(ids)),
        "told": _rows(connection, events, events.c.email_folded == people.fold(email)),
        "letters": _rows(connection, letters, letters.c.registrant.in_(ids)),
        "journal": _rows(connection, journal, journal.c.registrant.in_(ids)),
    }


def _rows(connection: Connection, table: Table, condition: Any) -> list[dict[str, Any]]:
    found = connection.execute(select(table).where(condition).order_by(table.c.id)).mappings()
    return [{name: _plain(value) for name, value in row.items()} for row in found]


def _plain(value: Any) -> Any:
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value
