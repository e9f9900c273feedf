"""What administrators and keys did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import UtcDateTime
from mirada.db.names import PREFIX

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ENTRIES = f"{PREFIX}audit_entries"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        ENTRIES,
        sa.Column("id", ID, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("action", sa.String(length=30), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=True),
        sa.Column("owner_id", sa.BigInteger(), nullable=True),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("role", sa.String(length=20), nullable=True),
        sa.Column("via", sa.String(length=20), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{ENTRIES}")),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    for column in ("created_at", "user_id", "owner_id"):
        op.create_index(f"ix_{ENTRIES}_{column}", ENTRIES, [column])


def downgrade() -> None:
    """Undo; what was done is forgotten."""
    op.drop_table(ENTRIES)
