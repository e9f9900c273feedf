"""An index that holds everything that is counted of somebody's images."""

from __future__ import annotations

from alembic import op

from mirada.db.names import PREFIX

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

IMAGES = f"{PREFIX}images"
COUNTED = f"ix_{IMAGES}_counted"


def upgrade() -> None:
    """Apply."""
    op.create_index(
        COUNTED, IMAGES, ["owner_id", "created_at", "status", "is_public", "content_id"]
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index(COUNTED, IMAGES)
