"""What tutorials teach: FastAPI, a pydantic model, an ORM session a request, a commit each.

`python -m tests.bench.references.tutorial DATABASE`. The same rows in the same tables as the
service writes for somebody new.
"""

import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy import create_engine, event
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from resonance_zoom.store import people, tables
from tests.bench.references.serving import serve


class Base(DeclarativeBase):
    metadata = tables.metadata


class Meeting(Base):
    __table__ = tables.meetings


class Registrant(Base):
    __table__ = tables.registrants


class Event(Base):
    __table__ = tables.events


class Letter(Base):
    __table__ = tables.letters


class JournalLine(Base):
    __table__ = tables.journal


class Person(BaseModel):
    id: str
    email: str
    first_name: str
    last_name: str
    status: str
    join_url: str


class Thing(BaseModel):
    id: int
    registrant: Person


class Payload(BaseModel):
    object: Thing


class Told(BaseModel):
    event: str
    event_ts: int
    payload: Payload


def make_app(path: str) -> FastAPI:
    """The application on a database that exists."""
    # With fewer connections than FastAPI has threads, those who wait for one keep the threads from
    # those who would give one back, and it stands still.
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 60}, pool_size=40)

    @event.listens_for(engine, "connect")
    def durable(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=FULL")

    make_session = sessionmaker(bind=engine)
    app = FastAPI()

    def session() -> Iterator[Session]:
        db = make_session()
        try:
            yield db
        finally:
            db.close()

    @app.post("/webhooks/zoom")
    def registered(told: Told, db: Session = Depends(session)) -> dict[str, int]:  # noqa: B008 — as FastAPI wants it
        return {"id": keep(told, db)}

    return app


def keep(told: Told, db: Session) -> int:
    """The registrant, the event, the letter owed and the line of the journal, committed."""
    now, who = datetime.now(UTC), told.payload.object.registrant
    meeting: Any = db.query(Meeting).filter_by(zoom_meeting_id=told.payload.object.id).one()
    began = datetime.fromtimestamp(told.event_ts / 1000, UTC)
    folded = who.email.casefold()
    parts = (told.event, meeting.zoom_meeting_id, who.id, told.event_ts)
    said = who.model_dump(exclude={"id"}) | {"registrant_id": who.id, "email_folded": folded}
    registrant: Any = Registrant(
        **said, focus_group=meeting.focus_group, episode=1, registered_at=began, approved_at=began,
        decided_ts=told.event_ts, source="webhook",
        sought=people.sought(who.first_name, who.last_name, who.email),
    )  # fmt: skip
    db.add(registrant)
    db.flush()
    db.add(
        Event(
            **said, key=hashlib.sha256(json.dumps(parts).encode()).hexdigest(), event=told.event,
            source="webhook", zoom_meeting_id=meeting.zoom_meeting_id,
            focus_group=meeting.focus_group, event_ts=told.event_ts, received_at=now,
        )
    )  # fmt: skip
    db.add(
        Letter(
            registrant=registrant.id, focus_group=meeting.focus_group, kind="confirmation",
            occasion="episode 1", episode=1, start_at=meeting.start_at, due_at=now,
            worth_until=meeting.end_at, state="queued", ready_at=now, created_at=now,
        )
    )  # fmt: skip
    data = {"source": "webhook", "event": told.event, "event_ts": told.event_ts, "before": None,
            "after": who.status, "episode": 1, "zoom_registrant_id": who.id,
            "confirmation_owed": True}  # fmt: skip
    db.add(
        JournalLine(
            at=now, level="info", kind="registration.created", focus_group=meeting.focus_group,
            registrant=registrant.id, message=f"Zoom told us: {who.status}", data=data,
        )
    )  # fmt: skip
    number = int(registrant.id)  # after the commit it would be read anew
    db.commit()
    return number


if __name__ == "__main__":
    serve(make_app(sys.argv[1]))
