"""What the ledger knows of jobs that are claimed together: how many, and whether one is tried alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

JOBS = f"{PREFIX}jobs"


def upgrade() -> None:
    """Apply."""
    op.add_column(JOBS, sa.Column("batch_size", sa.Integer(), server_default="1", nullable=False))
    op.add_column(
        JOBS, sa.Column("is_suspect", sa.Boolean(), server_default=sa.false(), nullable=False)
    )


def downgrade() -> None:
    """Undo; no job may be running."""
    op.drop_column(JOBS, "is_suspect")
    op.drop_column(JOBS, "batch_size")
