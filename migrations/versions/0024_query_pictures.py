"""Pictures that are only asked with, kept for a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from mirada.db.models import UtcDateTime
from mirada.db.names import PREFIX

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
PICTURES = f"{PREFIX}query_pictures"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        PICTURES,
        sa.Column("id", ID, nullable=False),
        sa.Column("space_id", ID, nullable=False),
        sa.Column("vector", BLOB, nullable=False, quote=True),
        sa.Column("crc32", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("thumbnail", BLOB, nullable=False),
        sa.Column("byte_size", sa.Integer(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["space_id"],
            [f"{PREFIX}embedding_spaces.id"],
            name=op.f(f"fk_{PICTURES}_space_id"),
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            [f"{PREFIX}users.id"],
            name=op.f(f"fk_{PICTURES}_owner_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PICTURES}")),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_index(f"ix_{PICTURES}_owner_id_id", PICTURES, ["owner_id", "id"])
    op.create_index(f"ix_{PICTURES}_expires_at", PICTURES, ["expires_at"])


def downgrade() -> None:
    """Undo; the pictures are lost."""
    op.drop_table(PICTURES)
