"""The trash of deleted images, and files that are still to be removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import UtcDateTime
from mirada.db.names import PREFIX

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

IMAGES, FILES = f"{PREFIX}images", f"{PREFIX}files_to_remove"
COUNTED, TRASH = f"ix_{IMAGES}_counted", f"ix_{IMAGES}_trash"
BY_TIME = f"ix_{IMAGES}_created_at"
COUNTED_COLUMNS = ["owner_id", "created_at", "status", "is_public", "content_id"]
IN_TRASH = sa.text("trashed_at IS NOT NULL")


def upgrade() -> None:
    """Apply."""
    op.add_column(IMAGES, sa.Column("trashed_at", UtcDateTime(), nullable=True))
    op.create_index(
        TRASH,
        IMAGES,
        ["trashed_at", "owner_id"],
        sqlite_where=IN_TRASH,
        postgresql_where=IN_TRASH,
    )
    _count_by([*COUNTED_COLUMNS, "trashed_at"])
    op.create_index(f"{BY_TIME}_trashed_at", IMAGES, ["created_at", "trashed_at"])
    op.drop_index(BY_TIME, IMAGES)
    op.create_table(
        FILES,
        sa.Column("storage_key", sa.String(length=191), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("storage_key", name=op.f(f"pk_{FILES}")),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )


def _count_by(columns: list[str]) -> None:
    # Of whichever form it is there: this may run twice.
    op.drop_index(COUNTED, IMAGES)
    op.create_index(COUNTED, IMAGES, columns)


def downgrade() -> None:
    """Undo; what is in the trash is back where it was, and files that are to be removed stay."""
    op.drop_table(FILES)
    op.create_index(BY_TIME, IMAGES, ["created_at"])
    op.drop_index(f"{BY_TIME}_trashed_at", IMAGES)
    _count_by(COUNTED_COLUMNS)
    op.drop_index(TRASH, IMAGES)
    op.drop_column(IMAGES, "trashed_at")
