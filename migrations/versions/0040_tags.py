"""Tags that people put on images."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import CaseSensitive
from mirada.db.names import PREFIX

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
IMAGES = f"{PREFIX}images"
TAGS = f"{PREFIX}image_tags"


def upgrade() -> None:
    """Apply."""
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(IMAGES)}
    if "tags" not in present:
        op.add_column(IMAGES, sa.Column("tags", sa.JSON(), nullable=True))
    if not sa.inspect(op.get_bind()).has_table(TAGS):
        _create_tags()
    # A start that was cut short may have left the table without it.
    names = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(TAGS)}
    if f"ix_{TAGS}_tag_image_id" not in names:
        op.create_index(f"ix_{TAGS}_tag_image_id", TAGS, ["tag", "image_id"])


def _create_tags() -> None:
    op.create_table(
        TAGS,
        sa.Column("image_id", ID, autoincrement=False, nullable=False),
        sa.Column("tag", CaseSensitive, nullable=False),
        sa.Column("name", CaseSensitive, nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"],
            [f"{IMAGES}.id"],
            name=op.f(f"fk_{TAGS}_image_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("image_id", "tag", name=op.f(f"pk_{TAGS}")),
        sqlite_with_rowid=False,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )


def downgrade() -> None:
    """Undo; tags are forgotten."""
    op.drop_table(TAGS)
    with op.batch_alter_table(IMAGES) as batch:
        batch.drop_column("tags")
