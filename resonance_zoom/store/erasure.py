"""Takes people out of the database and remembers, without naming them, that they were.

A tombstone is an HMAC-SHA256 of the folded address under a random key of its own, kept beside it:
it depends on no setting, and two databases' tombstones can be thrown together. Whoever holds the
database can test a guessed address against it, and can read none.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, String, cast, delete, literal, or_, select, update

from resonance_zoom.store import chain, outbox
from resonance_zoom.store import journal as kept
from resonance_zoom.store.direct import find
from resonance_zoom.store.tables import events, journal, letters, registrants, tombstones
from resonance_zoom.store.upsert import insert

ERASURES = "erasures"  # in `meta`: how many there were, so that one since is noticed at no cost
EVERYBODY = "everybody"  # the digest of the tombstone that a purge leaves: it fits every address
_STONES = select(tombstones).order_by(tombstones.c.erased_at)  # asked with every event
_ADDRESS = re.compile(r"[^\s<>\"'(),;:]+@[^\s<>\"'(),;:]+")


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Somebody was erased at `erased_at`; `told`: the journal says that Zoom still names them."""

    digest: str
    key: str
    erased_at: datetime
    told: bool = False

    def fits(self, email_folded: str) -> bool:
        """Whether it stands for this address."""
        if self.digest == EVERYBODY:
            return True
        return hmac.compare_digest(self.digest, _digest(self.key, email_folded))


def all_tombstones(connection: Connection) -> list[Tombstone]:
    """Every erasure that is remembered."""
    rows = find(connection, _STONES)
    return [Tombstone(row.digest, row.key, row.erased_at, row.told_at is not None) for row in rows]


def tell(connection: Connection, stone: Tombstone, now: datetime) -> None:
    """The journal says of this erasure that Zoom still names the person: once is enough."""
    connection.execute(
        update(tombstones).where(tombstones.c.digest == stone.digest).values(told_at=now)
    )


def bury(connection: Connection, email_folded: str, now: datetime) -> None:
    """Remember that this address was erased at `now`, in place of any earlier time."""
    for stone in all_tombstones(connection):
        if stone.digest != EVERYBODY and stone.fits(email_folded):
            connection.execute(delete(tombstones).where(tombstones.c.digest == stone.digest))
    key = secrets.token_hex(32)
    _keep(connection, Tombstone(_digest(key, email_folded), key, now))


def adopt(connection: Connection, stones: Iterable[Tombstone]) -> None:
    """Take over what another database remembers; of the same one the later time stays."""
    known = {stone.digest: stone for stone in all_tombstones(connection)}
    for stone in stones:
        had = known.get(stone.digest)
        if had is None or had.erased_at < stone.erased_at:
            _keep(connection, stone)
            known[stone.digest] = stone


def forget(connection: Connection, person: Any) -> None:
    """All that is known of one registrant goes; what stays is a row without a name to be counted.

    Letters that have not left are dropped. `person` is a row of `registrants`.
    """
    outbox.drop_all_of(connection, person.id, reason="erased")
    connection.execute(update(letters).where(letters.c.registrant == person.id).values(**_UNSAID))
    connection.execute(
        delete(events).where(
            events.c.focus_group == person.focus_group,
            events.c.email_folded == person.email_folded,
        )
    )
    outbox.look_at_everyone(connection)
    _count_erasure(connection)
    connection.execute(
        update(registrants)
        .where(registrants.c.id == person.id)
        .values(**_NOBODY, status="cancelled")
    )
    _clean_journal(connection, journal.c.registrant == person.id)


def forget_buried(connection: Connection) -> int:
    """Forget everyone whose registration is older than their erasure; returns how many.

    After a restore: those who were erased since the backup was made.
    """
    stones = all_tombstones(connection)
    if not stones:
        return 0
    known = connection.execute(select(registrants).where(registrants.c.email != "")).all()
    buried = [
        person
        for person in known
        if any(
            stone.fits(person.email_folded) and person.registered_at <= stone.erased_at
            for stone in stones
        )
    ]
    for person in buried:
        forget(connection, person)
    return len(buried)


def forget_everybody(connection: Connection, now: datetime) -> dict[str, int]:
    """Nobody is known any more, the counts stay: {"registrants", "events", "letters"} erased.

    One tombstone for everybody takes the place of all others.
    """
    people = connection.execute(
        update(registrants).where(registrants.c.email != "").values(**_NOBODY)
    ).rowcount
    told = connection.execute(delete(events)).rowcount
    outbox.look_at_everyone(connection)
    _count_erasure(connection)
    connection.execute(
        update(letters)
        .where(letters.c.state.in_((outbox.QUEUED, outbox.FAILED, outbox.IN_DOUBT)))
        .values(state=outbox.DROPPED, reason="erased")
    )
    written = connection.execute(
        update(letters)
        .where(or_(*(letters.c[name].is_not(None) for name in _UNSAID)))
        .values(**_UNSAID)
    ).rowcount
    _clean_journal(connection, journal.c.registrant.is_not(None))
    connection.execute(delete(tombstones))
    _keep(connection, Tombstone(EVERYBODY, "", now))
    return {"registrants": people, "events": told, "letters": written}


def knows_somebody(connection: Connection) -> bool:
    """Whether there is anything personal left."""
    person = select(registrants.c.id).where(registrants.c.email != "").limit(1)
    event = select(events.c.id).limit(1)
    return any(connection.execute(query).first() is not None for query in (person, event))


# Of a letter: what servers said, and by what a report would still be known as one about it.
_UNSAID: dict[str, Any] = {"detail": None, "message_id": None, "bounce_detail": None}
_NOBODY: dict[str, Any] = {
    "email_folded": literal("erased ") + cast(registrants.c.id, String),
    "email": "",
    "first_name": "",
    "last_name": "",
    "sought": "",
    "registrant_id": None,
    "join_url": None,
}


def _clean_journal(connection: Connection, which: Any) -> None:
    """A line names nobody, but may quote a mail server that did, and Zoom's id of a person."""
    quoted = or_(
        journal.c.message.contains("@"),
        cast(journal.c.data, String).contains("@"),
        cast(journal.c.data, String).contains("zoom_registrant_id"),
    )
    for line in connection.execute(select(journal).where(which, quoted)).all():
        data = {
            name: _ADDRESS.sub("…", value) if isinstance(value, str) else value
            for name, value in line.data.items()
            if name != "zoom_registrant_id"
        }
        connection.execute(
            update(journal)
            .where(journal.c.id == line.id)
            .values(message=_ADDRESS.sub("…", line.message), data=data)
        )
        chain.rewritten(connection, line.id)


def _count_erasure(connection: Connection) -> None:
    kept.remember(connection, ERASURES, (kept.recall(connection, ERASURES) or 0) + 1)


def _keep(connection: Connection, stone: Tombstone) -> None:
    values = {"key": stone.key, "erased_at": stone.erased_at, "told_at": None}
    connection.execute(
        insert(connection, tombstones)
        .values(digest=stone.digest, **values)
        .on_conflict_do_update(index_elements=["digest"], set_=values)
    )


def _digest(key: str, email_folded: str) -> str:
    return hmac.new(bytes.fromhex(key), email_folded.encode(), hashlib.sha256).hexdigest()
