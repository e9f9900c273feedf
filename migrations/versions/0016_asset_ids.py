"""What owners call their images in catalogues of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

IMAGES = f"{PREFIX}images"
INDEX = f"ix_{IMAGES}_owner_id_asset_id"


def upgrade() -> None:
    """Apply."""
    op.add_column(IMAGES, sa.Column("asset_id", sa.String(length=191), nullable=True))
    op.create_index(INDEX, IMAGES, ["owner_id", "asset_id"])


def downgrade() -> None:
    """Undo; the names are lost."""
    op.drop_index(INDEX, table_name=IMAGES)
    op.drop_column(IMAGES, "asset_id")
