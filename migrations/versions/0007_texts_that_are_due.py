"""Images whose prompt or caption their own job has yet to come to; none of those that are there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NAMES = ("prompt_is_due", "caption_is_due")


def upgrade() -> None:
    """Apply."""
    # Plain ADD COLUMN everywhere: copying the table would fire the cascades of what refers to it.
    for name in NAMES:
        op.add_column(
            f"{PREFIX}images",
            sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False),
        )


def downgrade() -> None:
    """Undo."""
    for name in reversed(NAMES):
        op.drop_column(f"{PREFIX}images", name)
