"""Images that an administrator has hidden; none of those that are there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    # Plain ADD COLUMN everywhere: copying the table would fire the cascades of what refers to it.
    op.add_column(
        f"{PREFIX}images",
        sa.Column("is_hidden", sa.Boolean(), server_default=sa.false(), nullable=False),
    )


def downgrade() -> None:
    """Undo; what was hidden stays private, and its owner may show it again."""
    op.drop_column(f"{PREFIX}images", "is_hidden")
