"""Spaces whose vectors pgvector searches.

The tables of vectors themselves, and the extension, are made when the program starts: whether they can be
depends on the server and on the rights of its user, and may change later.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import Id, UtcDateTime
from mirada.db.names import PREFIX

revision = "0021"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLE = f"{PREFIX}pgvector_spaces"
SPACES = f"{PREFIX}embedding_spaces"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        TABLE,
        sa.Column("space_id", Id, autoincrement=False, nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("graph", sa.JSON(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["space_id"], [f"{SPACES}.id"], name=op.f(f"fk_{TABLE}_space_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("space_id", name=op.f(f"pk_{TABLE}")),
    )


def downgrade() -> None:
    """Undo; the tables of vectors that this one lists are left, and nothing reads them."""
    op.drop_table(TABLE)
