"""Prompts and their vectors, likes, comments, styles, and keys with scopes that expire."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from mirada.db.models import CaseSensitive, UtcDateTime
from mirada.db.names import PREFIX

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
INNODB = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        f"{PREFIX}text_contents",
        sa.Column("id", ID, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("body", LONG_TEXT, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}text_contents")),
        sa.UniqueConstraint("sha256", name=op.f(f"uq_{PREFIX}text_contents_sha256")),
        sqlite_autoincrement=True,
        **INNODB,
    )
    op.create_table(
        f"{PREFIX}text_embeddings",
        sa.Column("id", ID, nullable=False),
        sa.Column("space_id", ID, nullable=False),
        sa.Column("text_id", sa.BigInteger(), nullable=False),
        sa.Column("vector", BLOB, nullable=False, quote=True),
        sa.Column("crc32", sa.BigInteger(), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["space_id"],
            [f"{PREFIX}embedding_spaces.id"],
            name=op.f(f"fk_{PREFIX}text_embeddings_space_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}text_embeddings")),
        sa.UniqueConstraint(
            "space_id", "text_id", name=op.f(f"uq_{PREFIX}text_embeddings_space_id_text_id")
        ),
        sqlite_autoincrement=True,
        **INNODB,
    )
    op.create_index(
        f"ix_{PREFIX}text_embeddings_space_id_change_seq_id",
        f"{PREFIX}text_embeddings",
        ["space_id", "change_seq", "id"],
    )
    op.create_index(f"ix_{PREFIX}text_embeddings_text_id", f"{PREFIX}text_embeddings", ["text_id"])
    op.create_table(
        f"{PREFIX}likes",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"],
            [f"{PREFIX}images.id"],
            name=op.f(f"fk_{PREFIX}likes_image_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            [f"{PREFIX}users.id"],
            name=op.f(f"fk_{PREFIX}likes_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("image_id", "user_id", name=op.f(f"pk_{PREFIX}likes")),
        **INNODB,
    )
    op.create_index(f"ix_{PREFIX}likes_user_id", f"{PREFIX}likes", ["user_id"])
    op.create_table(
        f"{PREFIX}comments",
        sa.Column("id", ID, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"],
            [f"{PREFIX}images.id"],
            name=op.f(f"fk_{PREFIX}comments_image_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            [f"{PREFIX}users.id"],
            name=op.f(f"fk_{PREFIX}comments_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}comments")),
        sqlite_autoincrement=True,
        **INNODB,
    )
    op.create_index(f"ix_{PREFIX}comments_image_id_id", f"{PREFIX}comments", ["image_id", "id"])
    op.create_index(f"ix_{PREFIX}comments_user_id", f"{PREFIX}comments", ["user_id"])
    op.create_table(
        f"{PREFIX}styles",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", CaseSensitive, nullable=False),
        sa.Column("descriptions", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}styles")),
        sa.UniqueConstraint("name", name=op.f(f"uq_{PREFIX}styles_name")),
        **INNODB,
    )
    # Plain ADD COLUMN everywhere: copying the table would fire the cascades of what refers to it.
    for column in (
        sa.Column("prompt_text_id", sa.BigInteger(), nullable=True),
        sa.Column("generation", sa.JSON(), nullable=True),
        sa.Column("like_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("comment_count", sa.Integer(), server_default="0", nullable=False),
    ):
        op.add_column(f"{PREFIX}images", column)
    op.add_column(f"{PREFIX}contents", sa.Column("palette", sa.JSON(), nullable=True))
    op.create_index(f"ix_{PREFIX}images_prompt_text_id", f"{PREFIX}images", ["prompt_text_id"])
    op.create_index(f"ix_{PREFIX}jobs_subject_id", f"{PREFIX}jobs", ["subject_id"])
    for column in (
        sa.Column("name", sa.String(length=100), nullable=True),
        sa.Column("scopes", sa.String(length=100), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
    ):
        op.add_column(f"{PREFIX}api_keys", column)


def downgrade() -> None:
    """Undo."""
    for name in ("last_used_at", "expires_at", "scopes", "name"):
        op.drop_column(f"{PREFIX}api_keys", name)
    op.drop_index(f"ix_{PREFIX}jobs_subject_id", table_name=f"{PREFIX}jobs")
    op.drop_index(f"ix_{PREFIX}images_prompt_text_id", table_name=f"{PREFIX}images")
    op.drop_column(f"{PREFIX}contents", "palette")
    for name in ("comment_count", "like_count", "generation", "prompt_text_id"):
        op.drop_column(f"{PREFIX}images", name)
    for table in (
        f"{PREFIX}styles",
        f"{PREFIX}comments",
        f"{PREFIX}likes",
        f"{PREFIX}text_embeddings",
        f"{PREFIX}text_contents",
    ):
        op.drop_table(table)
