"""Which pictures have all their thumbnails: a worker makes those of the others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

CONTENTS = f"{PREFIX}contents"
BY_EDITION = f"ix_{CONTENTS}_thumbnails_edition"


def upgrade() -> None:
    """Apply."""
    op.add_column(
        CONTENTS,
        sa.Column("thumbnails_edition", sa.SmallInteger(), server_default="0", nullable=False),
    )
    op.create_index(BY_EDITION, CONTENTS, ["thumbnails_edition"])


def downgrade() -> None:
    """Undo; the files stay."""
    op.drop_index(BY_EDITION, table_name=CONTENTS)
    op.drop_column(CONTENTS, "thumbnails_edition")
