"""Find a content by its bytes' hash, or insert it, holding its row's lock either way."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import Insert

from mirada.db.models import Content
from mirada.domain.errors import Unavailable

ATTEMPTS = 3
"""A row can only vanish between insert and lock when its last image is deleted that very moment."""


def lock_content(session: Session, content_id: int) -> Content | None:
    """Return the content with its row locked until the transaction ends, None when it is gone."""
    return session.execute(
        select(Content)
        .where(Content.id == content_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()


def lock_or_insert_content(session: Session, sha256: str, **values: Any) -> Content:
    """Return the content of these bytes, locked: the one that is there, or a new one.

    Whether it is new is told by its `storage_key`, which is unique per row.

    Args:
        session: a transaction.
        sha256: of the picture's bytes.
        **values: the other columns of a new row; ignored when there is one already.

    Raises:
        Unavailable: the row appeared and vanished again several times.
    """
    for _ in range(ATTEMPTS):
        # Found without a lock, then locked by its id: InnoDB would lock the entry of the hash's
        # index before the row, which is the wrong way round for whoever deletes the row, and kill
        # one of the two for the deadlock.
        content_id = session.execute(
            select(Content.id).where(Content.sha256 == sha256)
        ).scalar_one_or_none()
        if content_id is not None:
            content = lock_content(session, content_id)
            if content is not None:
                return content
        session.execute(_insert_unless_there(session, {"sha256": sha256, **values}))
    raise Unavailable("This picture is being added and deleted at once; try again shortly.")


def _insert_unless_there(session: Session, values: dict[str, Any]) -> Insert:
    backend = session.get_bind().dialect.name
    if backend in ("mysql", "mariadb"):
        # A plain INSERT that meets a duplicate keeps a shared lock on it; two such callers would
        # then wait for each other's exclusive one. This form takes the exclusive lock at once
        # (MySQL manual, "Locks Set by Different SQL Statements in InnoDB").
        return mysql.insert(Content).values(values).on_duplicate_key_update(id=Content.id)
    if backend == "postgresql":
        return postgresql.insert(Content).values(values).on_conflict_do_nothing()
    if backend == "sqlite":
        return sqlite.insert(Content).values(values).on_conflict_do_nothing()
    return insert(Content).values(values)
