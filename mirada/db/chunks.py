"""Long IN lists, asked in chunks that every supported server takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar, TypeVarTuple

from sqlalchemy import Row, Select
from sqlalchemy.orm import Session

IN_LIST_ROWS = 500
"""SQLite allows 999 parameters in builds before 3.32; half of that leaves room."""

Value = TypeVar("Value")
Columns = TypeVarTuple("Columns")


def chunks(values: Sequence[Value]) -> list[Sequence[Value]]:
    """Return the values in their order, at most IN_LIST_ROWS at a time; nothing for none."""
    starts = range(0, len(values), IN_LIST_ROWS)
    return [values[start : start + IN_LIST_ROWS] for start in starts]


def rows_in(
    session: Session, query: Select[*Columns], column: Any, values: Iterable[Any]
) -> Iterator[Row[*Columns]]:
    """Yield the rows of a query whose column has one of the values.

    The values are sorted and each is asked for once, so locks are taken in ascending order. The
    query's own ORDER BY, LIMIT and aggregates hold within a chunk. A chunk's statement is sent when
    the iteration reaches it.
    """
    for chunk in chunks(sorted(set(values))):
        yield from session.execute(query.where(column.in_(chunk)))
