"""Count as rows change, and find what is late, ended badly or waits: no table is read whole."""

import sqlalchemy as sa
from alembic import op

from resonance_zoom.store import tallies

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for name, columns, state in (
        ("due", ["due_at", "ready_at", "reason"], "queued"),
        ("sending", ["id"], "sending"),
        ("failed", ["id"], "failed"),
        ("dropped", ["id"], "dropped"),
        ("in_doubt", ["id"], "in_doubt"),
    ):
        of_state = sa.text(f"state = '{state}'")
        op.create_index(
            f"ix_letters_{name}",
            "letters",
            columns,
            sqlite_where=of_state,
            postgresql_where=of_state,
        )
    came_back = sa.text("bounce IS NOT NULL")
    op.create_index(
        "ix_letters_bounce",
        "letters",
        ["bounce"],
        sqlite_where=came_back,
        postgresql_where=came_back,
    )
    op.drop_index("ix_letters_group", "letters")
    op.create_index("ix_letters_group", "letters", ["focus_group", "kind", "state", "ready_at"])
    pending = sa.text("status = 'pending'")
    op.create_index(
        "ix_registrants_pending",
        "registrants",
        ["registered_at"],
        sqlite_where=pending,
        postgresql_where=pending,
    )
    op.create_table(
        "tallies",
        sa.Column("what", sa.String(length=20), nullable=False),
        sa.Column("one", sa.String(length=20), nullable=False),
        sa.Column("focus_group", sa.String(length=40), nullable=False),
        sa.Column("two", sa.String(length=20), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("what", "one", "focus_group", "two", name=op.f("pk_tallies")),
    )
    tallies.keep_count(op.get_bind())
