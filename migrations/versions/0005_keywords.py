"""The words of prompts and captions, found by the database's own full text.

On SQLite the triggers belong to `images`: a migration that copies that table has to make them again.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

POSTGRESQL = r"""
CREATE INDEX ix_images_words ON images USING gin (
    to_tsvector('simple', regexp_replace(normalize(regexp_replace(normalize(
        lower(coalesce(images.prompt, '') || ' ' || coalesce(images.caption, '')), NFKD),
        '[\u0300-\u036f]', '', 'g'), NFC), '[[:punct:]]', ' ', 'g'))
)
"""
# Without the list of stop words, which migrations/env.py switches off.
MYSQL = ("CREATE FULLTEXT INDEX ix_images_words ON images (prompt, caption)",)
# The table holds no text of its own: it reads that of `images`, and must be told what was there
# before to take it out again.
SQLITE = (
    "CREATE VIRTUAL TABLE image_words USING fts5(prompt, caption, content='images', "
    "content_rowid='id', tokenize='unicode61 remove_diacritics 2')",
    """
    CREATE TRIGGER image_words_after_insert AFTER INSERT ON images BEGIN
        INSERT INTO image_words (rowid, prompt, caption) VALUES (new.id, new.prompt, new.caption);
    END
    """,
    """
    CREATE TRIGGER image_words_after_delete AFTER DELETE ON images BEGIN
        INSERT INTO image_words (image_words, rowid, prompt, caption)
        VALUES ('delete', old.id, old.prompt, old.caption);
    END
    """,
    """
    CREATE TRIGGER image_words_after_update AFTER UPDATE OF id, prompt, caption ON images BEGIN
        INSERT INTO image_words (image_words, rowid, prompt, caption)
        VALUES ('delete', old.id, old.prompt, old.caption);
        INSERT INTO image_words (rowid, prompt, caption) VALUES (new.id, new.prompt, new.caption);
    END
    """,
    "INSERT INTO image_words (image_words) VALUES ('rebuild')",
)


def upgrade() -> None:
    """Apply."""
    for statement in _statements():
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Undo."""
    if op.get_bind().dialect.name == "sqlite":
        for change in ("insert", "delete", "update"):
            op.execute(f"DROP TRIGGER image_words_after_{change}")
        op.execute("DROP TABLE image_words")
    else:
        op.drop_index("ix_images_words", table_name="images")


def _statements() -> tuple[str, ...]:
    match op.get_bind().dialect.name:
        case "sqlite":
            return SQLITE
        case "postgresql":
            return (POSTGRESQL,)
        case _:
            return MYSQL
