"""The words of prompts and captions, cut by our own code, in place of the database's full text.

The words of images that are there are written afterwards, in batches: `word_index.write_missing`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mirada.db.names import PREFIX

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

IMAGES = f"{PREFIX}images"
WORDS = f"{PREFIX}word_weights"
OLD_SQLITE_TABLE = f"{PREFIX}image_words"
OLD_INDEX = f"ix_{PREFIX}images_words"
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    _drop_full_text()
    # Plain ADD COLUMN everywhere: copying the table would fire the cascades of what refers to it.
    op.add_column(
        IMAGES, sa.Column("words_version", sa.SmallInteger(), server_default="0", nullable=False)
    )
    op.create_index(f"ix_{IMAGES}_words_version", IMAGES, ["words_version"])
    op.create_table(
        WORDS,
        sa.Column("word", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("image_id", ID, autoincrement=False, nullable=False),
        sa.Column("weight", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], [f"{IMAGES}.id"], name=op.f(f"fk_{WORDS}_image_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("word", "image_id", name=op.f(f"pk_{WORDS}")),
        sqlite_with_rowid=False,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    op.create_index(f"ix_{WORDS}_image_id", WORDS, ["image_id"])


def downgrade() -> None:
    """Undo; the full text of before is not made again, and an older program finds no words."""
    op.drop_table(WORDS)
    op.drop_index(f"ix_{IMAGES}_words_version", table_name=IMAGES)
    op.drop_column(IMAGES, "words_version")


def _drop_full_text() -> None:
    """Drop what older releases made in 0005, where they did."""
    if op.get_bind().dialect.name == "sqlite":
        for change in ("insert", "delete", "update"):
            op.execute(f"DROP TRIGGER IF EXISTS {OLD_SQLITE_TABLE}_after_{change}")
        op.execute(f"DROP TABLE IF EXISTS {OLD_SQLITE_TABLE}")
        return
    indexes = sa.inspect(op.get_bind()).get_indexes(IMAGES)
    if OLD_INDEX in {index["name"] for index in indexes}:
        op.drop_index(OLD_INDEX, table_name=IMAGES)
