"""What another Mirada called the packs that were imported from it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import CaseSensitive
from mirada.db.names import PREFIX

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None

PACKS = f"{PREFIX}packs"
COLUMNS = (("external_source", sa.String(length=64)), ("external_id", CaseSensitive))


def upgrade() -> None:
    """Apply."""
    for name, kind in COLUMNS:
        op.add_column(PACKS, sa.Column(name, kind, nullable=True))
    op.create_index(
        f"ix_{PACKS}_external_id_external_source",
        PACKS,
        ["external_id", "external_source"],
        unique=True,
    )


def downgrade() -> None:
    """Undo; an import that is run again brings its packs a second time."""
    op.drop_index(f"ix_{PACKS}_external_id_external_source", PACKS)
    for name, _ in COLUMNS:
        op.drop_column(PACKS, name)
