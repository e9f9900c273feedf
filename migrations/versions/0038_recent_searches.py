"""Searches that somebody made lately."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import CaseSensitive, UtcDateTime
from mirada.db.names import PREFIX

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SEARCHES = f"{PREFIX}recent_searches"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        SEARCHES,
        sa.Column("id", ID, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("words", CaseSensitive, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("searched_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            [f"{PREFIX}users.id"],
            name=op.f(f"fk_{SEARCHES}_owner_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{SEARCHES}")),
        sa.UniqueConstraint("owner_id", "digest", name=op.f(f"uq_{SEARCHES}_owner_id_digest")),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_index(f"ix_{SEARCHES}_owner_id_searched_at", SEARCHES, ["owner_id", "searched_at"])
    op.create_index(f"ix_{SEARCHES}_searched_at", SEARCHES, ["searched_at"])


def downgrade() -> None:
    """Undo; what people searched for lately is forgotten."""
    op.drop_table(SEARCHES)
