"""What we were told about registrants (events) and what it adds up to (registrants): queries."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects.sqlite import insert

from resonance_zoom.store.tables import events, registrants


def fold(email: str) -> str:
    """An address as we compare it: one person however they type it."""
    return email.strip().lower()


def sought(*words: str) -> str:
    """Words as a search compares them, without accents or case: `É. Œuvrard` is `e. oeuvrard`."""
    text = " ".join(words).casefold().replace("œ", "oe").replace("æ", "ae")
    marked = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in marked if not unicodedata.combining(letter))


def add_event(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Keep an event. False: we had it already."""
    statement = insert(events).values(**values).on_conflict_do_nothing(index_elements=["key"])
    return connection.execute(statement).rowcount == 1


def history(
    connection: Connection, focus_group: str, email_folded: str
) -> Sequence[Row[tuple[Any, ...]]]:
    """Every event of one person in one group, in no order."""
    return connection.execute(
        select(events).where(
            events.c.focus_group == focus_group, events.c.email_folded == email_folded
        )
    ).all()


def person(
    connection: Connection, focus_group: str, email_folded: str
) -> Row[tuple[Any, ...]] | None:
    """The registrant, None before anything was known of them."""
    return connection.execute(
        select(registrants).where(
            registrants.c.focus_group == focus_group, registrants.c.email_folded == email_folded
        )
    ).first()


def save(
    connection: Connection, focus_group: str, email_folded: str, values: Mapping[str, Any]
) -> int:
    """Create or replace what is known of a person; returns our id."""
    values = {
        **values,
        "sought": sought(values["first_name"], values["last_name"], values["email"]),
    }
    statement = insert(registrants).values(
        focus_group=focus_group, email_folded=email_folded, **values
    )
    return int(
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["focus_group", "email_folded"], set_=dict(values)
            ).returning(registrants.c.id)
        ).scalar_one()
    )


def people_of(
    connection: Connection, focus_group: str, emails: Collection[str]
) -> dict[str, Row[tuple[Any, ...]]]:
    """Those of `emails` (folded) that are known in the group: one statement for a page."""
    found = connection.execute(
        select(registrants).where(
            registrants.c.focus_group == focus_group, registrants.c.email_folded.in_(emails)
        )
    )
    return {row.email_folded: row for row in found}


def active_people(connection: Connection, focus_group: str) -> Sequence[Row[tuple[Any, ...]]]:
    """Everyone approved or pending in the group."""
    return connection.execute(
        select(registrants).where(
            registrants.c.focus_group == focus_group,
            registrants.c.status.in_(("approved", "pending")),
        )
    ).all()


def mark_absent(connection: Connection, ids: Collection[int], since: datetime | None) -> None:
    """They lacked in a complete listing since `since`; None: they are in it (again)."""
    if ids:
        connection.execute(
            update(registrants).where(registrants.c.id.in_(ids)).values(absent_since=since)
        )


def with_email(connection: Connection, email: str) -> Sequence[Row[tuple[Any, ...]]]:
    """One person's registrations over all groups."""
    return connection.execute(
        select(registrants)
        .where(registrants.c.email_folded == fold(email))
        .order_by(registrants.c.focus_group)
    ).all()
