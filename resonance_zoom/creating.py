"""Remembers that a create was sent: without its answer there may be a meeting that no list shows.

Zoom knows no idempotency key, and its lists may lag. Who was killed before the answer came, or
heard none, waits for the lists before anything is created anew.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from resonance_zoom.store import journal
from resonance_zoom.store.engine import Store

CREATING = "creating"
LISTS_LAG = timedelta(minutes=15)  # behind what was created, at most


def since(connection: Connection) -> dict[str, datetime]:
    """{focus group: when its create was sent}, of those whose end is not known."""
    kept = journal.recall(connection, CREATING) or {}
    return {slug: datetime.fromisoformat(at) for slug, at in kept.items()}


def mark(connection: Connection, focus_group: str, at: datetime | None) -> None:
    """Committed before a create is sent; None: it is known how it ended."""
    others = {slug: sent for slug, sent in since(connection).items() if slug != focus_group}
    journal.remember(connection, CREATING, others | ({focus_group: at} if at else {}))


def may_be_there(store: Store, focus_group: str, now: datetime) -> bool:
    """Whether an earlier create may have made the meeting, and Zoom not list it yet; it is told."""
    with store.write() as connection:
        sent = since(connection).get(focus_group)
        if sent is None or now >= sent + LISTS_LAG:
            return False
        acts_at = sent + LISTS_LAG
        journal.note(
            connection,
            now,
            "meeting.create_waits",
            f"Zoom may have created it at {sent:%H:%M} UTC and not list it yet;"
            f" at {acts_at:%H:%M} it is created anew unless it is there",
            focus_group=focus_group,
            acts_at=acts_at,
        )
    return True
