"""Who of the staff is signed in, and what was spent: links that work once, forms sent once."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, select, update

from resonance_zoom.store.tables import sessions, spent
from resonance_zoom.store.upsert import insert

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=10)
SEEN_EVERY = timedelta(minutes=1)  # a page view costs no write more often than this


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in member of the staff. `csrf` goes into every form, `said` is shown once."""

    key: str
    name: str
    role: str
    csrf: str
    said: str | None


def spend(connection: Connection, token: str, now: datetime) -> bool:
    """Use up something that works once. False: it was used before."""
    statement = insert(connection, spent).values(token=token, at=now).on_conflict_do_nothing()
    return connection.execute(statement).rowcount == 1


def open_session(connection: Connection, *, name: str, role: str, now: datetime) -> str:
    """Sign somebody in; returns what their cookie holds. Only its digest is kept."""
    cookie = secrets.token_urlsafe(32)
    connection.execute(delete(sessions).where(sessions.c.started_at <= now - LONGEST))
    connection.execute(
        sessions.insert().values(
            key=_digest(cookie),
            name=name,
            role=role,
            csrf=secrets.token_urlsafe(24),
            started_at=now,
            seen_at=now,
        )
    )
    return cookie


def find(connection: Connection, cookie: str, now: datetime) -> Session | None:
    """The session of a cookie; None when there is none, or it was idle or open for too long."""
    row: Any = connection.execute(
        select(sessions).where(
            sessions.c.key == _digest(cookie),
            sessions.c.seen_at > now - IDLE,
            sessions.c.started_at > now - LONGEST,
        )
    ).first()
    return Session(row.key, row.name, row.role, row.csrf, row.said) if row is not None else None


def seen(connection: Connection, session: Session, now: datetime) -> None:
    """Somebody looked at a page: their session does not fall asleep, and `said` was shown."""
    connection.execute(
        update(sessions).where(sessions.c.key == session.key).values(seen_at=now, said=None)
    )


def needs_seen(connection: Connection, session: Session, now: datetime) -> bool:
    """Whether `seen` would change anything worth a write."""
    if session.said is not None:
        return True
    found = select(sessions.c.seen_at).where(sessions.c.key == session.key)
    last = connection.execute(found).scalar()
    return last is not None and now - last >= SEEN_EVERY


def say(connection: Connection, session: Session, words: str) -> None:
    """What the next page tells them: what their act did."""
    connection.execute(update(sessions).where(sessions.c.key == session.key).values(said=words))


def unsay(connection: Connection) -> None:
    """What acts did and nobody has seen yet is not told any more: it may name who was erased."""
    connection.execute(update(sessions).where(sessions.c.said.is_not(None)).values(said=None))


def close(connection: Connection, session: Session) -> None:
    """Sign out."""
    connection.execute(delete(sessions).where(sessions.c.key == session.key))


def close_all(connection: Connection) -> int:
    """Sign everybody out; returns how many sessions there were."""
    return connection.execute(delete(sessions)).rowcount


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()
