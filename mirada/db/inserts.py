"""INSERT statements that meet a row that is there already, on every engine: left alone, or updated."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import Insert

from mirada.db.classifier_models import ImageLabels, LabelExpansion, LabelVector
from mirada.db.duplicate_models import NotDuplicates, SamePicture
from mirada.db.memory_models import TextContent
from mirada.db.model_switch_models import ModelProcess
from mirada.db.models import Base, Content, Lease, User
from mirada.db.recall_models import IndexDay
from mirada.db.spending_models import SpendingDay

Row = (
    type[Content]
    | type[IndexDay]
    | type[LabelExpansion]
    | type[Lease]
    | type[NotDuplicates]
    | type[SamePicture]
    | type[SpendingDay]
    | type[TextContent]
    | type[User]
)
_MYSQL = frozenset({"mysql", "mariadb"})


def insert_unless_there(session: Session, entity: Row, values: dict[str, Any]) -> Insert:
    """Return an INSERT of the row that does nothing where a unique key of it exists."""
    return _inserting(session.get_bind().dialect.name, entity).values(values)


def inserting_unless_there(session: Session, entity: Row) -> Insert:
    """Return such an INSERT for rows that are given when it is executed, each with the same columns.

    It is the same object every time, so SQLAlchemy puts it together once.
    """
    return _inserting(session.get_bind().dialect.name, entity)


@functools.cache
def _inserting(dialect: str, entity: Row) -> Insert:
    table: Any = entity.__table__
    if dialect in _MYSQL:
        # A plain INSERT that meets a duplicate keeps a shared lock on it; two such callers would
        # then wait for each other's exclusive one. This form takes the exclusive lock at once
        # (MySQL manual, "Locks Set by Different SQL Statements in InnoDB").
        key = next(iter(table.primary_key))
        return mysql.insert(table).on_duplicate_key_update({key.name: key})
    statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    return statement.on_conflict_do_nothing()


def insert_or_update(
    session: Session,
    entity: type[ImageLabels] | type[LabelVector] | type[ModelProcess],
    unique: Sequence[Any],
    updated: Sequence[Any],
) -> Insert:
    """Return an INSERT that overwrites the `updated` columns of the row with the same `unique` ones."""
    if _is_mysql(session):
        on_mysql = mysql.insert(entity)
        fresh = {column.name: on_mysql.inserted[column.name] for column in updated}
        return on_mysql.on_duplicate_key_update(fresh)
    statement = _upsert(session, entity)
    return statement.on_conflict_do_update(
        index_elements=unique,
        set_={column.name: statement.excluded[column.name] for column in updated},
    )


def _is_mysql(session: Session) -> bool:
    return session.get_bind().dialect.name in _MYSQL


def _upsert(session: Session, entity: type[Base]) -> postgresql.Insert | sqlite.Insert:
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    return postgresql.insert(entity) if is_postgresql else sqlite.insert(entity)
