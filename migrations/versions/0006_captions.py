"""Captions: who wrote them, the texts they are, and what a model wrote of a picture."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.models import UtcDateTime
from mirada.db.names import PREFIX

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INNODB = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    """Apply."""
    # Plain ADD COLUMN everywhere: copying the table would fire the cascades of what refers to it.
    for column in (
        sa.Column("caption_text_id", sa.BigInteger(), nullable=True),
        sa.Column("caption_source", sa.String(length=10), nullable=True),
        sa.Column("caption_model", sa.String(length=100), nullable=True),
        sa.Column("caption_language", sa.String(length=5), nullable=True),
        sa.Column("caption_prompt_version", sa.Integer(), nullable=True),
        sa.Column("auto_caption", sa.Boolean(), server_default=sa.true(), nullable=False),
    ):
        op.add_column(f"{PREFIX}images", column)
    op.create_index(f"ix_{PREFIX}images_caption_text_id", f"{PREFIX}images", ["caption_text_id"])
    op.execute(f"UPDATE {PREFIX}images SET caption_source = 'person' WHERE caption IS NOT NULL")
    op.create_table(
        f"{PREFIX}captions",
        sa.Column("id", ID, nullable=False),
        sa.Column("content_id", ID, nullable=False),
        sa.Column("language", sa.String(length=5), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("prompt_version", sa.Integer(), nullable=False),
        sa.Column("caption", sa.Text(), nullable=True),
        sa.Column("refusal", sa.String(length=255), nullable=True),
        sa.Column("claimed_job_id", sa.BigInteger(), nullable=True),
        sa.Column("claimed_token", sa.String(length=32), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["content_id"],
            [f"{PREFIX}contents.id"],
            name=op.f(f"fk_{PREFIX}captions_content_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{PREFIX}captions")),
        sa.UniqueConstraint(
            "content_id",
            "language",
            "model",
            "prompt_version",
            name=op.f(f"uq_{PREFIX}captions_content_id_language_model_prompt_version"),
        ),
        sqlite_autoincrement=True,
        **INNODB,
    )
    op.create_index(
        f"ix_{PREFIX}language_model_calls_subject", f"{PREFIX}language_model_calls", ["subject"]
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index(
        f"ix_{PREFIX}language_model_calls_subject", table_name=f"{PREFIX}language_model_calls"
    )
    op.drop_table(f"{PREFIX}captions")
    op.drop_index(f"ix_{PREFIX}images_caption_text_id", table_name=f"{PREFIX}images")
    for name in (
        "auto_caption",
        "caption_prompt_version",
        "caption_language",
        "caption_model",
        "caption_source",
        "caption_text_id",
    ):
        op.drop_column(f"{PREFIX}images", name)
