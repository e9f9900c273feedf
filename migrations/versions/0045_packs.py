"""Packs, the pictures in them, and what was decided about suggestions for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import CaseSensitive, LongText, UtcDateTime
from mirada.db.names import PREFIX

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PACKS, IMAGES, CHOICES = (f"{PREFIX}{name}" for name in ("packs", "pack_images", "pack_choices"))
ENGINE = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        PACKS,
        sa.Column("id", ID, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("title", sa.String(length=191), nullable=False),
        sa.Column("description", LongText, nullable=True),
        sa.Column("is_public", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("theme", CaseSensitive, nullable=True),
        sa.Column("cover_image_id", sa.BigInteger(), nullable=True),
        sa.Column("query", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            [f"{PREFIX}users.id"],
            name=op.f(f"fk_{PACKS}_owner_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PACKS}")),
        sqlite_autoincrement=True,
        **ENGINE,
    )
    op.create_index(f"ix_{PACKS}_owner_id_id", PACKS, ["owner_id", "id"])
    op.create_index(f"ix_{PACKS}_is_public_id", PACKS, ["is_public", "id"])
    _create(
        IMAGES,
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("emojis", sa.JSON(), nullable=False),
    )
    op.create_index(f"ix_{IMAGES}_pack_id_position", IMAGES, ["pack_id", "position"])
    _create(
        CHOICES,
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("feedback_id", sa.BigInteger(), nullable=True),
        sa.Column("was_accepted", sa.Boolean(), nullable=True),
    )


def _create(name: str, *columns: sa.Column[object]) -> None:
    """Create a table of what there is of a pack and an image."""
    op.create_table(
        name,
        sa.Column("pack_id", ID, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(
            ["pack_id"], [f"{PACKS}.id"], name=op.f(f"fk_{name}_pack_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["image_id"],
            [f"{PREFIX}images.id"],
            name=op.f(f"fk_{name}_image_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("pack_id", "image_id", name=op.f(f"pk_{name}")),
        **ENGINE,
    )
    op.create_index(f"ix_{name}_image_id", name, ["image_id"])


def downgrade() -> None:
    """Undo; packs are forgotten, and their pictures stay."""
    for name in (CHOICES, IMAGES, PACKS):
        op.drop_table(name)
