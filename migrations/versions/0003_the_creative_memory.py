"""Prompts and their vectors, likes, comments, styles, and keys with scopes that expire."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from mirada.db.models import CaseSensitive, UtcDateTime

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
        "text_contents",
        sa.Column("id", ID, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("body", LONG_TEXT, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_text_contents")),
        sa.UniqueConstraint("sha256", name=op.f("uq_text_contents_sha256")),
        sqlite_autoincrement=True,
        **INNODB,
    )
    op.create_table(
        "text_embeddings",
        sa.Column("id", ID, nullable=False),
        sa.Column("space_id", ID, nullable=False),
        sa.Column("text_id", sa.BigInteger(), nullable=False),
        sa.Column("vector", BLOB, nullable=False),
        sa.Column("crc32", sa.BigInteger(), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), nullable=False),
        sa.Column("change_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["space_id"], ["embedding_spaces.id"], name=op.f("fk_text_embeddings_space_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_text_embeddings")),
        sa.UniqueConstraint(
            "space_id", "text_id", name=op.f("uq_text_embeddings_space_id_text_id")
        ),
        sqlite_autoincrement=True,
        **INNODB,
    )
    op.create_index(
        "ix_text_embeddings_space_id_change_seq_id",
        "text_embeddings",
        ["space_id", "change_seq", "id"],
    )
    op.create_index("ix_text_embeddings_text_id", "text_embeddings", ["text_id"])
    op.create_table(
        "likes",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fk_likes_image_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_likes_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "user_id", name=op.f("pk_likes")),
        **INNODB,
    )
    op.create_index("ix_likes_user_id", "likes", ["user_id"])
    op.create_table(
        "comments",
        sa.Column("id", ID, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fk_comments_image_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_comments_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comments")),
        sqlite_autoincrement=True,
        **INNODB,
    )
    op.create_index("ix_comments_image_id_id", "comments", ["image_id", "id"])
    op.create_index("ix_comments_user_id", "comments", ["user_id"])
    op.create_table(
        "styles",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", CaseSensitive, nullable=False),
        sa.Column("descriptions", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_styles")),
        sa.UniqueConstraint("name", name=op.f("uq_styles_name")),
        **INNODB,
    )
    # Plain ADD COLUMN everywhere: copying the table would fire the cascades of what refers to it.
    for column in (
        sa.Column("prompt_text_id", sa.BigInteger(), nullable=True),
        sa.Column("generation", sa.JSON(), nullable=True),
        sa.Column("like_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("comment_count", sa.Integer(), server_default="0", nullable=False),
    ):
        op.add_column("images", column)
    op.add_column("contents", sa.Column("palette", sa.JSON(), nullable=True))
    op.create_index("ix_images_prompt_text_id", "images", ["prompt_text_id"])
    op.create_index("ix_jobs_subject_id", "jobs", ["subject_id"])
    for column in (
        sa.Column("name", sa.String(length=100), nullable=True),
        sa.Column("scopes", sa.String(length=100), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
    ):
        op.add_column("api_keys", column)


def downgrade() -> None:
    """Undo."""
    for name in ("last_used_at", "expires_at", "scopes", "name"):
        op.drop_column("api_keys", name)
    op.drop_index("ix_jobs_subject_id", table_name="jobs")
    op.drop_index("ix_images_prompt_text_id", table_name="images")
    op.drop_column("contents", "palette")
    for name in ("comment_count", "like_count", "generation", "prompt_text_id"):
        op.drop_column("images", name)
    for table in ("styles", "comments", "likes", "text_embeddings", "text_contents"):
        op.drop_table(table)
