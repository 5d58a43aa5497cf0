"""The first schema."""

import sqlalchemy as sa
from alembic import op

from resonance_zoom.store import tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("event", sa.String(length=60), nullable=False),
        sa.Column("source", sa.String(length=8), nullable=False),
        sa.Column("zoom_meeting_id", sa.BigInteger(), nullable=True),
        sa.Column("focus_group", sa.String(length=40), nullable=True),
        sa.Column("email_folded", sa.String(length=254), nullable=True),
        sa.Column("event_ts", sa.BigInteger(), nullable=False),
        sa.Column("received_at", tables.UtcDateTime(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=True),
        sa.Column("registrant_id", sa.String(length=128), nullable=True),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("join_url", sa.Text(), nullable=True),
        sa.Column("create_time", tables.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("key", name=op.f("uq_events_key")),
    )
    op.create_index("ix_events_person", "events", ["focus_group", "email_folded"])
    op.create_table(
        "journal",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("at", tables.UtcDateTime(), nullable=False),
        sa.Column("level", sa.String(length=7), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("focus_group", sa.String(length=40), nullable=True),
        sa.Column("registrant", tables.Id, nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal")),
    )
    op.create_index("ix_journal_group", "journal", ["focus_group", "id"])
    op.create_index("ix_journal_kind", "journal", ["kind", "id"])
    op.create_index("ix_journal_registrant", "journal", ["registrant", "id"])
    op.create_table(
        "meetings",
        sa.Column("focus_group", sa.String(length=40), nullable=False),
        sa.Column("reference", sa.String(length=120), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("zoom_meeting_id", sa.BigInteger(), nullable=True),
        sa.Column("topic", sa.Text(), nullable=True),
        sa.Column("start_at", tables.UtcDateTime(), nullable=True),
        sa.Column("end_at", tables.UtcDateTime(), nullable=True),
        sa.Column("registration_url", sa.Text(), nullable=True),
        sa.Column("applied", sa.JSON(), nullable=True),
        sa.Column("held", sa.JSON(), nullable=True),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("intended_at", tables.UtcDateTime(), nullable=False),
        sa.Column("checked_at", tables.UtcDateTime(), nullable=True),
        sa.Column("missing_since", tables.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("focus_group", name=op.f("pk_meetings")),
        sa.UniqueConstraint("reference", name=op.f("uq_meetings_reference")),
        sa.UniqueConstraint("zoom_meeting_id", name=op.f("uq_meetings_zoom_meeting_id")),
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.String(length=60), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )
    op.create_table(
        "registrants",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("focus_group", sa.String(length=40), nullable=False),
        sa.Column("email_folded", sa.String(length=254), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("registrant_id", sa.String(length=128), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("join_url", sa.Text(), nullable=True),
        sa.Column("episode", sa.Integer(), nullable=False),
        sa.Column("registered_at", tables.UtcDateTime(), nullable=False),
        sa.Column("approved_at", tables.UtcDateTime(), nullable=True),
        sa.Column("decided_ts", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=8), nullable=False),
        sa.Column("absent_since", tables.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registrants")),
        sa.UniqueConstraint("focus_group", "email_folded", name=op.f("uq_registrants_focus_group")),
    )
    op.create_index("ix_registrants_email", "registrants", ["email_folded"])
    op.create_index("ix_registrants_status", "registrants", ["focus_group", "status"])
    op.create_table(
        "runs",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("started_at", tables.UtcDateTime(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index("ix_runs_job", "runs", ["job", "id"])
    op.create_table(
        "letters",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("registrant", tables.Id, nullable=False),
        sa.Column("focus_group", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("occasion", sa.String(length=60), nullable=False),
        sa.Column("episode", sa.Integer(), nullable=False),
        sa.Column("start_at", tables.UtcDateTime(), nullable=False),
        sa.Column("due_at", tables.UtcDateTime(), nullable=False),
        sa.Column("worth_until", tables.UtcDateTime(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("ready_at", tables.UtcDateTime(), nullable=False),
        sa.Column("reason", sa.String(length=30), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("recoveries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("claimed_at", tables.UtcDateTime(), nullable=True),
        sa.Column("sent_at", tables.UtcDateTime(), nullable=True),
        sa.Column("message_id", sa.String(length=120), nullable=True),
        sa.Column("created_at", tables.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registrant"], ["registrants.id"], name=op.f("fk_letters_registrant")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_letters")),
        sa.UniqueConstraint("registrant", "kind", "occasion", name=op.f("uq_letters_registrant")),
    )
    op.create_index("ix_letters_group", "letters", ["focus_group", "kind", "state"])
    op.create_index(
        "ix_letters_queue",
        "letters",
        ["ready_at", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
