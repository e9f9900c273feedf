"""Full-text search over prompts and captions by the database itself, for each engine in its own way.

SQLite has an FTS5 table kept by triggers, MySQL and MariaDB a FULLTEXT index, PostgreSQL a GIN index on
an expression. Migration 0005 makes them. No model declares them, because they hold copies only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Row,
    Select,
    column,
    func,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Session

from mirada.db.models import Image
from mirada.db.names import PREFIX
from mirada.kernel.keywords import without_accents, words_of

INDEX_NAME = f"ix_{PREFIX}images_words"
SQLITE_TABLE = f"{PREFIX}image_words"
_SQLITE_ROWS = table(SQLITE_TABLE, column("rowid", Integer))
POSTGRESQL_WORDS = (
    "to_tsvector('simple', regexp_replace(normalize(regexp_replace(normalize("
    f"lower(coalesce({PREFIX}images.prompt, '') || ' ' || coalesce({PREFIX}images.caption, '')), NFKD), "
    "'[\\u0300-\\u036f]', '', 'g'), NFC), '[[:punct:]]', ' ', 'g'))"
)
"""The indexed expression, to the letter: with any other PostgreSQL would read every row. It does not use
the extension `unaccent`, which is not installed everywhere and not immutable. Punctuation becomes
blanks, because the parser would read "a.b" as the name of a host."""
_MYSQL_LEAST_CHARS = 3
"""InnoDB's default of innodb_ft_min_token_size, where the server does not report it."""

_STOP_WORDS = (
    "a about an are as at be by com de en for from how i in is it la of on or that the this to was "
    "what when where who will with und www"
)
_MYSQL_STOP_WORDS = frozenset(_STOP_WORDS.split())
"""InnoDB's own list (MySQL 8.4 manual, 14.9.4). Migrations make the index without stop words, but TRUNCATE
and OPTIMIZE make it anew with them. A required stop word would then match no row, so none is
required."""


def is_of_full_text(name: str | None) -> bool:
    """Return whether a table or an index belongs to full-text search."""
    return name is not None and (name == INDEX_NAME or name.startswith(SQLITE_TABLE))


def searchable_words(session: Session, query: str) -> tuple[list[str], list[str]]:
    """Return the words of a query that this database can search for, and those too short for it."""
    if not _is_mysql(session):
        return words_of(query), []
    words = words_of(query, joined_by_underscore=True)
    least = session.execute(text("SELECT @@innodb_ft_min_token_size")).scalar()
    least_chars = int(least or _MYSQL_LEAST_CHARS)
    return (
        [word for word in words if len(word) >= least_chars],
        [word for word in words if len(word) < least_chars],
    )


def best_by_words(
    session: Session,
    words: Sequence[str],
    conditions: Sequence[ColumnElement[bool]],
    *,
    need_all: bool,
    limit: int,
) -> Sequence[Row[Any]]:
    """Return (id, owner_id, content_id) of images that hold these words, best first, ties by id.

    Each engine ranks in its own way: rare words count more; on PostgreSQL, words that occur often in
    the image's texts.

    Args:
        session: for reading.
        words: words from `searchable_words`, at least one.
        conditions: conditions on `images` that every row meets, such as visibility.
        need_all: whether every word is required; otherwise one is enough.
        limit: most rows.
    """
    query: Any = select(Image.id, Image.owner_id, Image.content_id).where(*conditions)
    backend = session.get_bind().dialect.name
    if _is_mysql(session):
        query = _mysql(query, words, need_all)
    elif backend == "postgresql":
        query = _postgresql(query, words, need_all)
    else:
        query = _sqlite(query, words, need_all)
    return session.execute(query.limit(limit)).all()


def _is_mysql(session: Session) -> bool:
    return session.get_bind().dialect.name in ("mysql", "mariadb")


def _mysql(query: Select[Any], words: Sequence[str], need_all: bool) -> Select[Any]:
    sought = " ".join(
        f"+{word}" if need_all and word not in _MYSQL_STOP_WORDS else word for word in words
    )
    written: tuple[Any, Any] = (Image.prompt, Image.caption)
    held = mysql.match(*written, against=sought).in_boolean_mode()
    return query.where(held).order_by(held.desc(), Image.id)


def _postgresql(query: Select[Any], words: Sequence[str], need_all: bool) -> Select[Any]:
    # Each word is treated like the indexed text, because punctuation depends on the locale: in some
    # it includes marks that Hindi writes inside words.
    phrases: list[ColumnElement[Any]] = [
        func.phraseto_tsquery(
            literal_column("'simple'"),
            func.regexp_replace(without_accents(word), literal_column("'[[:punct:]]'"), " ", "g"),
        )
        for word in words
    ]
    joined = "&&" if need_all else "||"
    sought = reduce(lambda left, right: left.op(joined)(right), phrases)
    held: ColumnElement[Any] = literal_column(POSTGRESQL_WORDS)
    return query.where(held.op("@@")(sought)).order_by(func.ts_rank(held, sought).desc(), Image.id)


def _sqlite(query: Select[Any], words: Sequence[str], need_all: bool) -> Select[Any]:
    sought = (" AND " if need_all else " OR ").join(f'"{word}"' for word in words)
    full_text: ColumnElement[Any] = literal_column(SQLITE_TABLE)
    return (
        query.join(_SQLITE_ROWS, _SQLITE_ROWS.c.rowid == Image.id)
        .where(full_text.op("MATCH")(sought))
        # bm25 of FTS5 is lower for better rows.
        .order_by(func.bm25(full_text), Image.id)
    )
