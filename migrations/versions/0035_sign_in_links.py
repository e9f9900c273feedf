"""Links that sign a browser in once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import UtcDateTime
from mirada.db.names import PREFIX

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LINKS = f"{PREFIX}sign_in_links"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        LINKS,
        sa.Column("id", ID, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            [f"{PREFIX}users.id"],
            name=op.f(f"fk_{LINKS}_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{LINKS}")),
        sa.UniqueConstraint("sha256", name=op.f(f"uq_{LINKS}_sha256")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_index(f"ix_{LINKS}_user_id", LINKS, ["user_id"])
    op.create_index(f"ix_{LINKS}_expires_at", LINKS, ["expires_at"])


def downgrade() -> None:
    """Undo; links that were given out count no more."""
    op.drop_table(LINKS)
