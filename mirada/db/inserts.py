"""INSERT that leaves a row alone that is there already, without an error, on every engine."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import Insert

from mirada.db.memory_models import Caption, TextContent
from mirada.db.models import Content
from mirada.db.spending_models import SpendingDay

Row = type[Content] | type[TextContent] | type[Caption] | type[SpendingDay]


def insert_unless_there(session: Session, entity: Row, values: dict[str, Any]) -> Insert:
    """Return an INSERT of the row that does nothing where a unique key of it exists."""
    backend = session.get_bind().dialect.name
    if backend in ("mysql", "mariadb"):
        # A plain INSERT that meets a duplicate keeps a shared lock on it; two such callers would
        # then wait for each other's exclusive one. This form takes the exclusive lock at once
        # (MySQL manual, "Locks Set by Different SQL Statements in InnoDB").
        key = next(iter(entity.__table__.primary_key))
        return mysql.insert(entity).values(values).on_duplicate_key_update({key.name: key})
    if backend == "postgresql":
        return postgresql.insert(entity).values(values).on_conflict_do_nothing()
    if backend == "sqlite":
        return sqlite.insert(entity).values(values).on_conflict_do_nothing()
    return insert(entity).values(values)
