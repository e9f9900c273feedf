"""Places of pictures on the map."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

MEMBERS = f"{PREFIX}cluster_members"


def upgrade() -> None:
    """Apply."""
    op.add_column(MEMBERS, sa.Column("x", sa.Integer(), nullable=True))
    op.add_column(MEMBERS, sa.Column("y", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Undo; maps are lost."""
    runs, clusters = f"{PREFIX}cluster_runs", f"{PREFIX}clusters"
    of_map = f"(SELECT id FROM {runs} WHERE kind = 'map')"
    in_map = f"(SELECT id FROM {clusters} WHERE run_id IN {of_map})"
    op.execute(f"DELETE FROM {MEMBERS} WHERE cluster_id IN {in_map}")
    op.execute(f"DELETE FROM {clusters} WHERE run_id IN {of_map}")
    op.execute(f"DELETE FROM {runs} WHERE kind = 'map'")
    op.drop_column(MEMBERS, "y")
    op.drop_column(MEMBERS, "x")
