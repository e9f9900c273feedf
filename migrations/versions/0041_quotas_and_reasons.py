"""Quotas of users, and why an administrator hid an image."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

USERS, IMAGES = f"{PREFIX}users", f"{PREFIX}images"


def upgrade() -> None:
    """Apply."""
    for name in ("quota_images", "quota_bytes"):
        op.add_column(USERS, sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column(IMAGES, sa.Column("hidden_reason", sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo; quotas of single users and reasons are forgotten."""
    op.drop_column(IMAGES, "hidden_reason")
    for name in ("quota_bytes", "quota_images"):
        op.drop_column(USERS, name)
