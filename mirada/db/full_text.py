"""The database's own full text over what people wrote beside their images, one way for each engine.

SQLite: an FTS5 table kept by triggers. MySQL and MariaDB: a FULLTEXT index. PostgreSQL: a GIN index
on an expression. Migration 0005 makes them; no model declares them, for they hold nothing of their own.
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
from mirada.kernel.keywords import without_accents, words_of

INDEX_NAME = "ix_images_words"
SQLITE_TABLE = "image_words"
_SQLITE_ROWS = table(SQLITE_TABLE, column("rowid", Integer))
POSTGRESQL_WORDS = (
    "to_tsvector('simple', regexp_replace(normalize(regexp_replace(normalize("
    "lower(coalesce(images.prompt, '') || ' ' || coalesce(images.caption, '')), NFKD), "
    "'[\\u0300-\\u036f]', '', 'g'), NFC), '[[:punct:]]', ' ', 'g'))"
)
"""The expression that is indexed, to the letter: any other would read every row. Without the
extension `unaccent`, which is not everywhere and not immutable; punctuation becomes blanks, because
the parser would take "a.b" for the name of a host."""
_MYSQL_LEAST_CHARS = 3
"""InnoDB's own default, where the server does not tell."""

_STOP_WORDS = (
    "a about an are as at be by com de en for from how i in is it la of on or that the this to was "
    "what when where who will with und www"
)
_MYSQL_STOP_WORDS = frozenset(_STOP_WORDS.split())
"""InnoDB's own list (MySQL 8.4 manual, 14.9.4). Migrations make the index without it, but a TRUNCATE
or OPTIMIZE makes it anew, with it, and a stop word that had to be there would then hide everything. So
none has to."""


def is_of_full_text(name: str | None) -> bool:
    """Return whether a table or index is one that a full text is kept in."""
    return name is not None and (name == INDEX_NAME or name.startswith(SQLITE_TABLE))


def searchable_words(session: Session, query: str) -> tuple[list[str], list[str]]:
    """Return the words of a query that this database can look for, and those too short for it."""
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
    """Return (id, owner_id, content_id) of the images that hold these words, best first, ties by id.

    How good is the engine's own judgement: rare words count more, on PostgreSQL frequent ones.

    Args:
        session: for reading.
        words: as `searchable_words` returned them, at least one.
        conditions: on `images`, met before the best are chosen.
        need_all: every word has to be there; otherwise any is enough.
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
    # Each word goes through what the indexed text went through: what is punctuation is the locale's
    # own idea, and in some it includes marks that Hindi writes inside its words.
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
        # FTS5 gives better rows a lower number.
        .order_by(func.bm25(full_text), Image.id)
    )
