"""Stored vectors, read and checked: a damaged one, or one of another length, counts as missing.

Nothing here logs damage: the index does, once per row, with what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.vector_tables import VectorTable
from mirada.kernel.embeddings import BLOB_DTYPE, Vector, from_blob
from mirada.kernel.errors import InvalidInput


def intact(blob: bytes, crc32: int, dimension: int | None = None) -> Vector | None:
    """Return the (d,) float32 unit vector of a stored row, None when it is damaged.

    Args:
        blob: the row's `vector`.
        crc32: the row's checksum.
        dimension: of the space; None takes the length that the blob has.
    """
    if dimension is None:
        dimension = len(blob) // BLOB_DTYPE.itemsize
    try:
        return from_blob(blob, crc32, dimension)
    except InvalidInput:
        return None


def vectors_in(
    session: Session,
    query: Select[Any, bytes, int],
    column: Any,
    values: Iterable[Any],
    dimension: int | None = None,
) -> dict[Any, Vector]:
    """Return the intact vectors of a query for (key, vector, crc32), by key.

    Args:
        session: for reading.
        query: without the condition on `column`.
        column: whose values are asked for, in chunks.
        values: in any order.
        dimension: as of `intact`.
    """
    return {
        key: vector
        for key, blob, crc32 in rows_in(session, query, column, values)
        if (vector := intact(blob, crc32, dimension)) is not None
    }


def vectors_of(
    session: Session,
    table: VectorTable,
    space_id: int | None,
    subjects: Iterable[int],
    dimension: int | None = None,
) -> dict[int, Vector]:
    """Return the live, intact vectors of a space by subject; none where `space_id` is None."""
    if space_id is None:
        return {}
    row: Any = table.entity
    query = select(table.subject, row.vector, row.crc32).where(
        row.space_id == space_id, row.is_deleted.is_(False)
    )
    return vectors_in(session, query, table.subject, subjects, dimension)
