"""One page of a list, newest rows first."""

from __future__ import annotations

from typing import TypeVarTuple

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute

from mirada.kernel.ids import LARGEST_ID

Columns = TypeVarTuple("Columns")


def newest_first(
    query: Select[*Columns], row_id: InstrumentedAttribute[int], cursor: int | None, limit: int
) -> Select[*Columns]:
    """Return a query for at most `limit` rows, newest first.

    Args:
        query: for the rows of the whole list.
        row_id: their primary key, by which they are ordered.
        cursor: the id of the last row of the page before; None for the first page.
        limit: >= 1.
    """
    if cursor is not None:
        query = query.where(row_id < min(cursor, LARGEST_ID))
    return query.order_by(row_id.desc()).limit(limit)
