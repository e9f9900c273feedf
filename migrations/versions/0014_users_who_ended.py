"""Users who were ended; none of those that are there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import UtcDateTime
from mirada.db.names import PREFIX

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(f"{PREFIX}users", sa.Column("ended_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Undo; who was ended has no key in force all the same."""
    op.drop_column(f"{PREFIX}users", "ended_at")
