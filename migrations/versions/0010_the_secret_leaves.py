"""The secret that signs sessions leaves the database: a dump of it was a login."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX

revision = "0010"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.drop_column(f"{PREFIX}installation", "secret_key")


def downgrade() -> None:
    """Undo; sessions are signed with a new secret."""
    op.add_column(
        f"{PREFIX}installation",
        sa.Column(
            "secret_key", sa.String(64), server_default=secrets.token_hex(32), nullable=False
        ),
    )
