"""What another system called the images that were imported from it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import CaseSensitive
from mirada.db.names import PREFIX

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None

IMAGES = f"{PREFIX}images"
COLUMNS = (
    ("external_source", sa.String(length=64)),
    ("external_id", CaseSensitive),
    ("external_name", CaseSensitive),
)


def upgrade() -> None:
    """Apply."""
    for name, kind in COLUMNS:
        op.add_column(IMAGES, sa.Column(name, kind, nullable=True))
    op.create_index(
        f"ix_{IMAGES}_external_id_external_source",
        IMAGES,
        ["external_id", "external_source"],
        unique=True,
    )
    op.create_index(f"ix_{IMAGES}_external_name", IMAGES, ["external_name"])


def downgrade() -> None:
    """Undo; old ids are forgotten."""
    op.drop_index(f"ix_{IMAGES}_external_name", IMAGES)
    op.drop_index(f"ix_{IMAGES}_external_id_external_source", IMAGES)
    for name, _ in COLUMNS:
        op.drop_column(IMAGES, name)
