"""The words of prompts and captions, found by the database's own full text.

On SQLite the triggers belong to `images`: a migration that copies that table has to make them again.
"""

from __future__ import annotations

from alembic import op

from mirada.db.names import PREFIX

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

IMAGES = f"{PREFIX}images"
WORDS = f"{PREFIX}image_words"
INDEX = f"ix_{PREFIX}images_words"
POSTGRESQL = rf"""
CREATE INDEX {INDEX} ON {IMAGES} USING gin (
    to_tsvector('simple', regexp_replace(normalize(regexp_replace(normalize(
        lower(coalesce({IMAGES}.prompt, '') || ' ' || coalesce({IMAGES}.caption, '')), NFKD),
        '[\u0300-\u036f]', '', 'g'), NFC), '[[:punct:]]', ' ', 'g'))
)
"""
# Without the list of stop words, which migrations/env.py switches off.
MYSQL = (f"CREATE FULLTEXT INDEX {INDEX} ON {IMAGES} (prompt, caption)",)
# The table holds no text of its own: it reads that of `images`, and must be told what was there
# before to take it out again.
SQLITE = (
    f"CREATE VIRTUAL TABLE {WORDS} USING fts5(prompt, caption, content='{IMAGES}', "
    "content_rowid='id', tokenize='unicode61 remove_diacritics 2')",
    f"""
    CREATE TRIGGER {WORDS}_after_insert AFTER INSERT ON {IMAGES} BEGIN
        INSERT INTO {WORDS} (rowid, prompt, caption) VALUES (new.id, new.prompt, new.caption);
    END
    """,
    f"""
    CREATE TRIGGER {WORDS}_after_delete AFTER DELETE ON {IMAGES} BEGIN
        INSERT INTO {WORDS} ({WORDS}, rowid, prompt, caption)
        VALUES ('delete', old.id, old.prompt, old.caption);
    END
    """,
    f"""
    CREATE TRIGGER {WORDS}_after_update AFTER UPDATE OF id, prompt, caption ON {IMAGES} BEGIN
        INSERT INTO {WORDS} ({WORDS}, rowid, prompt, caption)
        VALUES ('delete', old.id, old.prompt, old.caption);
        INSERT INTO {WORDS} (rowid, prompt, caption) VALUES (new.id, new.prompt, new.caption);
    END
    """,
    f"INSERT INTO {WORDS} ({WORDS}) VALUES ('rebuild')",
)


def upgrade() -> None:
    """Apply."""
    for statement in _statements():
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Undo."""
    if op.get_bind().dialect.name == "sqlite":
        for change in ("insert", "delete", "update"):
            op.execute(f"DROP TRIGGER {WORDS}_after_{change}")
        op.execute(f"DROP TABLE {WORDS}")
    else:
        op.drop_index(INDEX, table_name=IMAGES)


def _statements() -> tuple[str, ...]:
    match op.get_bind().dialect.name:
        case "sqlite":
            return SQLITE
        case "postgresql":
            return (POSTGRESQL,)
        case _:
            return MYSQL
