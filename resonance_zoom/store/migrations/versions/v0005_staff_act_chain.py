"""Chain the acts in the journal by digests; the chain begins with the lines that are there."""

import sqlalchemy as sa
from alembic import op

from resonance_zoom.store import chain

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "staff_act_chain",
        sa.Column(
            "entry",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("what", sa.String(length=10), nullable=False),
        sa.Column("line", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("salt", sa.String(length=32), nullable=True),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("entry", name=op.f("pk_staff_act_chain")),
    )
    op.create_index("ix_staff_act_chain_line", "staff_act_chain", ["line"])
    chain.adopt(op.get_bind())
