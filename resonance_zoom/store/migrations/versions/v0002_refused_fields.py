"""Remember which fields Zoom accepts but does not apply: they are not asked for in a loop."""

import sqlalchemy as sa
from alembic import op

from resonance_zoom.store import tables

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("meetings") as meetings:
        meetings.add_column(sa.Column("refused", sa.JSON()))
        meetings.add_column(sa.Column("patched_at", tables.UtcDateTime()))
