"""Remember who was erased, without their address: neither Zoom nor a backup brings them back."""

import sqlalchemy as sa
from alembic import op

from resonance_zoom.store import tables

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "tombstones",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("erased_at", tables.UtcDateTime(), nullable=False),
        sa.Column("told_at", tables.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_tombstones")),
    )
