"""Pages: sessions of the staff, search by name, moves that wait, groups that were called off."""

import sqlalchemy as sa
from alembic import op

from resonance_zoom.store import tables
from resonance_zoom.store.people import sought

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("meetings") as meetings:
        meetings.add_column(sa.Column("edit", sa.JSON()))
        meetings.add_column(sa.Column("edited_at", tables.UtcDateTime()))
        meetings.add_column(sa.Column("cancelled_at", tables.UtcDateTime()))
        meetings.add_column(sa.Column("former_start", tables.UtcDateTime()))
        meetings.add_column(sa.Column("former_end", tables.UtcDateTime()))
        meetings.add_column(sa.Column("dial_in", sa.JSON()))
    with op.batch_alter_table("registrants") as registrants:
        registrants.add_column(sa.Column("sought", sa.Text(), nullable=False, server_default=""))
    _fill_sought()
    op.create_index("ix_journal_at", "journal", ["at", "id"])
    op.create_index("ix_journal_level", "journal", ["level", "id"])
    op.create_table(
        "sessions",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("csrf", sa.String(length=40), nullable=False),
        sa.Column("started_at", tables.UtcDateTime(), nullable=False),
        sa.Column("seen_at", tables.UtcDateTime(), nullable=False),
        sa.Column("said", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sessions")),
    )
    op.create_table(
        "spent",
        sa.Column("token", sa.String(length=80), nullable=False),
        sa.Column("at", tables.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_spent")),
    )


def _fill_sought() -> None:
    """Accents cannot be folded by SQLite itself."""
    people = sa.table(
        "registrants",
        sa.column("id"),
        sa.column("email"),
        sa.column("first_name"),
        sa.column("last_name"),
        sa.column("sought"),
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(people)).all():
        words = sought(row.first_name, row.last_name, row.email)
        connection.execute(sa.update(people).where(people.c.id == row.id).values(sought=words))
