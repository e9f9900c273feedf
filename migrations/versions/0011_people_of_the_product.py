"""The host product's own people are users with its id of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import CaseSensitive
from mirada.db.names import PREFIX

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLE = f"{PREFIX}users"


def upgrade() -> None:
    """Apply."""
    op.add_column(TABLE, sa.Column("external_id", CaseSensitive, nullable=True))
    # A unique index, no constraint: SQLite would copy the table, and fire the cascades of what
    # refers to it.
    op.create_index(f"ix_{TABLE}_external_id", TABLE, ["external_id"], unique=True)


def downgrade() -> None:
    """Undo."""
    op.drop_index(f"ix_{TABLE}_external_id", TABLE)
    op.drop_column(TABLE, "external_id")
