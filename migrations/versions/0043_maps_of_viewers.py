"""Maps for each viewer: runs of one owner's private pictures, and groups that go on from another run's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

RUNS, CLUSTERS = f"{PREFIX}cluster_runs", f"{PREFIX}clusters"
OF = f"ix_{CLUSTERS}_of_id"


def upgrade() -> None:
    """Apply. Maps of before are removed by the next run: they were laid out by everybody's pictures."""
    op.add_column(RUNS, sa.Column("owner_id", sa.BigInteger(), nullable=True))
    op.add_column(RUNS, sa.Column("base_id", sa.BigInteger(), nullable=True))
    op.add_column(CLUSTERS, sa.Column("of_id", sa.BigInteger(), nullable=True))
    op.create_index(OF, CLUSTERS, ["of_id"])
    op.execute(f"UPDATE {RUNS} SET finished_at = NULL WHERE kind = 'map'")


def downgrade() -> None:
    """Undo; maps are lost."""
    members = f"{PREFIX}cluster_members"
    of_map = f"(SELECT id FROM {RUNS} WHERE kind = 'map')"
    op.execute(
        f"DELETE FROM {members} WHERE cluster_id IN "
        f"(SELECT id FROM {CLUSTERS} WHERE run_id IN {of_map})"
    )
    op.execute(f"DELETE FROM {CLUSTERS} WHERE run_id IN {of_map}")
    op.execute(f"DELETE FROM {RUNS} WHERE kind = 'map'")
    op.drop_index(OF, CLUSTERS)
    op.drop_column(CLUSTERS, "of_id")
    op.drop_column(RUNS, "base_id")
    op.drop_column(RUNS, "owner_id")
