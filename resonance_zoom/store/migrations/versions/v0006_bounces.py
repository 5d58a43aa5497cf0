"""Letters that came back: what mail servers report of a letter stands beside its state."""

import sqlalchemy as sa
from alembic import op

from resonance_zoom.store import tables

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    with op.batch_alter_table("letters") as letters:
        letters.add_column(sa.Column("bounce", sa.String(length=7)))
        letters.add_column(sa.Column("bounced_at", tables.UtcDateTime()))
        letters.add_column(sa.Column("bounce_status", sa.String(length=11)))
        letters.add_column(sa.Column("bounce_detail", sa.Text()))
