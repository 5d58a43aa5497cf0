"""The tables. Times are aware UTC; ids of Zoom's meetings are 64-bit; nothing holds a `start_url`.

Personal data lives in `registrants`, `events` and the details of `letters`, nowhere else.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes in, aware UTC out. SQLite drops zones, so naive values are refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 — SQLAlchemy's signature
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive datetime cannot be stored: {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 — SQLAlchemy's signature
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any] | None:
        """Several times cheaper than the dialect's own, of the same form: it runs for each time."""
        return _as_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(
        self, dialect: Dialect, coltype: Any
    ) -> Callable[[Any], datetime | None] | None:
        """As `bind_processor`."""
        if dialect.name == "sqlite":
            return _from_text
        return super().result_processor(dialect, coltype)


@lru_cache(maxsize=1024)
def _as_text(value: datetime | None) -> str | None:
    if value is None:
        return None
    if value.tzinfo is not UTC:
        if value.tzinfo is None:
            raise ValueError(f"a naive datetime cannot be stored: {value!r}")
        value = value.astimezone(UTC)
    return value.isoformat(" ", "microseconds")[:26]


def _from_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(f"{value}+00:00")


NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)
Id = BigInteger().with_variant(Integer, "sqlite")

# One value a name: pause, holds, when the service was last alive.
meta = Table(
    "meta",
    metadata,
    Column("key", String(60), primary_key=True),
    Column("value", JSON, nullable=False),
)

# One row a focus group: what we meant to do (intent), what we last wrote, what Zoom holds.
meetings = Table(
    "meetings",
    metadata,
    Column("focus_group", String(40), primary_key=True),
    Column("reference", String(120), nullable=False, unique=True),
    Column("state", String(12), nullable=False),  # intended, open, missing, duplicate
    Column("problem", Text),
    Column("zoom_meeting_id", BigInteger, unique=True),
    Column("topic", Text),
    Column("start_at", UtcDateTime),  # as Zoom holds it; letters follow this one
    Column("end_at", UtcDateTime),
    Column("registration_url", Text),
    Column("applied", JSON),  # the fields as we last wrote them to Zoom
    Column("held", JSON),  # the same fields as Zoom last showed them
    Column("refused", JSON),  # names of fields that Zoom accepted without applying them
    Column("patched_at", UtcDateTime),
    Column("revision", Integer, nullable=False, server_default="0"),  # counts moves
    Column("intended_at", UtcDateTime, nullable=False),
    Column("checked_at", UtcDateTime),
    Column("missing_since", UtcDateTime),
    # A new date in the file, not yet written to Zoom: it may be a typo.
    Column("edit", JSON(none_as_null=True)),
    Column("edited_at", UtcDateTime),  # since when the file says so
    Column("cancelled_at", UtcDateTime),  # taken out of the file; its registrants are told
    Column("former_start", UtcDateTime),  # before the last move
    Column("former_end", UtcDateTime),
    Column("dial_in", JSON),  # [[number, country code], …]: joining by phone
)

# One row a (focus group, folded e-mail): what the events of that person add up to.
registrants = Table(
    "registrants",
    metadata,
    Column("id", Id, primary_key=True),
    Column("focus_group", String(40), nullable=False),
    Column("email_folded", String(254), nullable=False),
    Column("email", String(254), nullable=False),
    Column("registrant_id", String(128)),  # Zoom's
    Column("first_name", Text, nullable=False),
    Column("last_name", Text, nullable=False),
    Column("status", String(10), nullable=False),  # approved, pending, denied, cancelled
    Column("join_url", Text),
    Column("episode", Integer, nullable=False),  # 1; 2 after a cancellation and a new registration
    Column("registered_at", UtcDateTime, nullable=False),
    Column("approved_at", UtcDateTime),
    Column("decided_ts", BigInteger, nullable=False),  # event_ts of what decided `status`
    Column("source", String(8), nullable=False),  # webhook, sweep
    Column("absent_since", UtcDateTime),  # lacked in the last complete listing
    Column("sought", Text, nullable=False, server_default=""),  # name and address, folded
    UniqueConstraint("focus_group", "email_folded"),
)
Index("ix_registrants_status", registrants.c.focus_group, registrants.c.status)
Index("ix_registrants_email", registrants.c.email_folded)
Index(
    "ix_registrants_pending",
    registrants.c.registered_at,
    sqlite_where=text("status = 'pending'"),
    postgresql_where=text("status = 'pending'"),
)

# Everything that told us something about a registrant, once. A registrant's state is their sum.
events = Table(
    "events",
    metadata,
    Column("id", Id, primary_key=True),
    Column("key", String(64), nullable=False, unique=True),
    Column("event", String(60), nullable=False),
    Column("source", String(8), nullable=False),  # webhook, sweep
    Column("zoom_meeting_id", BigInteger),
    Column("focus_group", String(40)),
    Column("email_folded", String(254)),
    Column("event_ts", BigInteger, nullable=False),  # milliseconds
    Column("received_at", UtcDateTime, nullable=False),
    Column("status", String(10)),
    Column("registrant_id", String(128)),
    Column("email", String(254)),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("join_url", Text),
    Column("create_time", UtcDateTime),
)
Index("ix_events_person", events.c.focus_group, events.c.email_folded)

# One row a letter owed: unique by person, kind and occasion (an episode, or a start).
letters = Table(
    "letters",
    metadata,
    Column("id", Id, primary_key=True),
    Column("registrant", Id, ForeignKey("registrants.id"), nullable=False),
    Column("focus_group", String(40), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("occasion", String(60), nullable=False),
    Column("episode", Integer, nullable=False),
    Column("start_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("worth_until", UtcDateTime, nullable=False),
    Column("state", String(8), nullable=False),  # queued sending sent failed dropped in_doubt
    Column("ready_at", UtcDateTime, nullable=False),  # due_at, later after a failed attempt
    Column("reason", String(30)),  # a word of store.outbox.REASONS
    Column("detail", Text),  # what the server said, a period, a name
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("recoveries", Integer, nullable=False, server_default="0"),
    Column("claimed_at", UtcDateTime),
    Column("sent_at", UtcDateTime),
    Column("message_id", String(120)),
    Column("created_at", UtcDateTime, nullable=False),
    # What was reported of it since it left; `state` stays what it is.
    Column("bounce", String(7)),  # lost, delayed
    Column("bounced_at", UtcDateTime),  # when we read the report
    Column("bounce_status", String(11)),  # RFC 3463: 5.1.1
    Column("bounce_detail", Text),  # the server's words, without addresses
    UniqueConstraint("registrant", "kind", "occasion"),
)
Index(
    "ix_letters_queue",
    letters.c.ready_at,
    letters.c.id,
    sqlite_where=text("state = 'queued'"),
    postgresql_where=text("state = 'queued'"),
)
# Which of the queued are late, and why; more than a few only while the relay is down.
Index(
    "ix_letters_due",
    letters.c.due_at,
    letters.c.ready_at,
    letters.c.reason,
    sqlite_where=text("state = 'queued'"),
    postgresql_where=text("state = 'queued'"),
)
# The few that did not leave, a state each. One index by state would be taken for the queue as well,
# which is to be read in the order of its times.
for _state in ("sending", "failed", "dropped", "in_doubt"):
    Index(
        f"ix_letters_{_state}",
        letters.c.id,
        sqlite_where=text(f"state = '{_state}'"),
        postgresql_where=text(f"state = '{_state}'"),
    )
Index(
    "ix_letters_bounce",
    letters.c.bounce,
    sqlite_where=text("bounce IS NOT NULL"),
    postgresql_where=text("bounce IS NOT NULL"),
)
Index(
    "ix_letters_group",
    letters.c.focus_group,
    letters.c.kind,
    letters.c.state,
    letters.c.ready_at,
)

# What happened, for staff. Names no person: `registrant` is our own id.
journal = Table(
    "journal",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("level", String(7), nullable=False),  # debug, info, warning, error
    Column("kind", String(40), nullable=False),
    Column("focus_group", String(40)),
    Column("registrant", Id),
    Column("message", Text, nullable=False),
    Column("data", JSON, nullable=False),
)
Index("ix_journal_group", journal.c.focus_group, journal.c.id)
Index("ix_journal_registrant", journal.c.registrant, journal.c.id)
Index("ix_journal_kind", journal.c.kind, journal.c.id)
Index("ix_journal_at", journal.c.at, journal.c.id)
Index("ix_journal_level", journal.c.level, journal.c.id)

# One entry an act in the journal, and one more whenever an erasure rewrote its line: never changed,
# but for the salt of what was erased.
staff_act_chain = Table(
    "staff_act_chain",
    metadata,
    Column("entry", Id, primary_key=True, autoincrement=False),
    Column("what", String(10), nullable=False),  # act, adopted, rewritten
    Column("line", Id, nullable=False),  # of `journal`
    Column("salt", String(32)),
    Column("content", String(64), nullable=False),  # digest of the salt and the line
    Column("digest", String(64), nullable=False),  # digest of the entry before and of this one
)
Index("ix_staff_act_chain_line", staff_act_chain.c.line)

# How many there are of what, see `tallies`: triggers write it, nobody else.
tallies = Table(
    "tallies",
    metadata,
    Column("what", String(20), primary_key=True),
    Column("one", String(20), primary_key=True),
    Column("focus_group", String(40), primary_key=True),
    Column("two", String(20), primary_key=True),
    Column("number", BigInteger, nullable=False),
)

# Every run of every job: when, how long, what it did, what went wrong.
runs = Table(
    "runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job", String(40), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("did", Text, nullable=False),
    Column("error", Text),
)
Index("ix_runs_job", runs.c.job, runs.c.id)

# Staff who are signed in. `key` is a digest: the cookie itself is nowhere here.
sessions = Table(
    "sessions",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", String(10), nullable=False),  # reader, admin
    Column("csrf", String(40), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("said", Text),  # what the last act did, shown once
)

# Links and forms that work once, and were used.
spent = Table(
    "spent",
    metadata,
    Column("token", String(80), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)

# Who was erased: digests under a key of each row's own, so that no address can be read here.
tombstones = Table(
    "tombstones",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("key", String(64), nullable=False),
    Column("erased_at", UtcDateTime, nullable=False),
    Column("told_at", UtcDateTime),  # since when the journal says that Zoom still names them
)
