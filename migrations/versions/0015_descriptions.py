"""A machine's description of every picture, beside the caption that a person may have written."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from mirada.db.names import PREFIX

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

IMAGES, CALLS = f"{PREFIX}images", f"{PREFIX}language_model_calls"
TEXT_INDEX = f"ix_{IMAGES}_description_text_id"
MODEL_INDEX = f"ix_{CALLS}_model_id"
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
FROM_CAPTION = ("text_id", "is_due", "model", "language", "prompt_version")


def upgrade() -> None:
    """Apply."""
    # Plain ADD COLUMN everywhere: copying the table would fire the cascades of what refers to it.
    for column in (
        sa.Column("description", LONG_TEXT, nullable=True),
        sa.Column("description_text_id", sa.BigInteger(), nullable=True),
        sa.Column("description_is_due", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("description_model", sa.String(length=100), nullable=True),
        sa.Column("description_language", sa.String(length=5), nullable=True),
        sa.Column("description_prompt_version", sa.Integer(), nullable=True),
    ):
        op.add_column(IMAGES, column)
    op.create_index(TEXT_INDEX, IMAGES, ["description_text_id"])
    op.create_index(MODEL_INDEX, CALLS, ["model", "id"])
    copied = ", ".join(f"description_{name} = caption_{name}" for name in FROM_CAPTION)
    # What a model wrote as a caption is its description, and is paid for.
    op.execute(
        f"UPDATE {IMAGES} SET description = caption, {copied} WHERE caption_source = 'model'"
    )


def downgrade() -> None:
    """Undo; what a model wrote beside a person's caption is lost."""
    op.drop_index(MODEL_INDEX, table_name=CALLS)
    op.drop_index(TEXT_INDEX, table_name=IMAGES)
    for name in (*reversed(FROM_CAPTION), ""):
        op.drop_column(IMAGES, f"description_{name}".rstrip("_"))
