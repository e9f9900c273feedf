"""Runs of imports and exports: how far they are, what was refused, which files they have in hand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import LongText
from mirada.db.names import PREFIX

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TRANSFERS = f"{PREFIX}transfers"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        TRANSFERS,
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("subject", sa.String(length=191), nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("place", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("already_there", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("refusals", sa.JSON(), nullable=False),
        sa.Column("resumed", sa.Integer(), nullable=False),
        sa.Column("in_hand", sa.JSON(), nullable=False),
        sa.Column("error", LongText, nullable=True),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            [f"{PREFIX}users.id"],
            name=op.f(f"fk_{TRANSFERS}_owner_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TRANSFERS}")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_index(f"ix_{TRANSFERS}_owner_id_id", TRANSFERS, ["owner_id", "id"])
    op.create_index(f"ix_{TRANSFERS}_kind_subject_id", TRANSFERS, ["kind", "subject", "id"])


def downgrade() -> None:
    """Undo; which files a killed run had in hand is forgotten."""
    op.drop_table(TRANSFERS)
