"""What a user has chosen for the pages: language, theme, and size of the pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

USERS = f"{PREFIX}users"
CHOSEN = ("locale", "theme", "density")


def upgrade() -> None:
    """Apply; nobody has chosen anything yet."""
    for name in CHOSEN:
        op.add_column(USERS, sa.Column(name, sa.String(length=20), nullable=True))


def downgrade() -> None:
    """Undo; what was chosen is forgotten."""
    for name in reversed(CHOSEN):
        op.drop_column(USERS, name)
