"""Find what is late, what ended badly and who waits without reading whole tables."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    queued = sa.text("state = 'queued'")
    op.create_index(
        "ix_letters_due",
        "letters",
        ["due_at", "ready_at", "reason"],
        sqlite_where=queued,
        postgresql_where=queued,
    )
    op.create_index("ix_letters_state", "letters", ["state", "id"])
    op.create_index("ix_registrants_waiting", "registrants", ["status", "registered_at"])
