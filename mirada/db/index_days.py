"""The days of an index: how large it was, and how much searches found. Never commits."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from mirada.db.inserts import insert_unless_there
from mirada.db.recall_models import IndexDay
from mirada.db.session import count_changed, now_ms

DAY_MS = 86_400_000
KEPT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Day:
    """One day of an index.

    Attributes:
        utc_day: its number since 1970-01-01.
        size: live vectors when they were counted last; None before the first count.
        queries: searches that were repeated exactly.
        recall: share of their ten nearest that they had found, in [0, 1]; None without any.
    """

    utc_day: int
    size: int | None
    queries: int
    recall: float | None


def today(session: Session) -> int:
    """Return the number of the day by the database's clock."""
    return int(session.execute(select(now_ms())).scalar_one()) // DAY_MS


def add_measured(session: Session, space_id: int, queries: int, wanted: int, found: int) -> None:
    """Add searches that were repeated to those of today: how many, and of their neighbours."""
    _change(
        session,
        space_id,
        {
            IndexDay.queries: IndexDay.queries + queries,
            IndexDay.wanted: IndexDay.wanted + wanted,
            IndexDay.found: IndexDay.found + found,
        },
    )


def keep_size(session: Session, space_id: int, size: int) -> None:
    """Write how many live vectors there are today, and forget the days that are too old."""
    _change(session, space_id, {IndexDay.size: size})
    old = IndexDay.utc_day <= today(session) - KEPT_DAYS
    count_changed(session, delete(IndexDay).where(IndexDay.space_id == space_id, old))


def _change(session: Session, space_id: int, values: dict[object, object]) -> None:
    day = today(session)
    this = (IndexDay.space_id == space_id, IndexDay.utc_day == day)
    changing = update(IndexDay).where(*this).values(values)
    if count_changed(session, changing):
        return
    row = {"space_id": space_id, "utc_day": day, "queries": 0, "wanted": 0, "found": 0}
    session.execute(insert_unless_there(session, IndexDay, row))
    count_changed(session, changing)


def days(session: Session, space_id: int) -> list[Day]:
    """Return the days of the last KEPT_DAYS of which something is known, the oldest first."""
    rows = session.execute(
        select(IndexDay)
        .where(IndexDay.space_id == space_id, IndexDay.utc_day > today(session) - KEPT_DAYS)
        .order_by(IndexDay.utc_day)
    ).scalars()
    return [
        Day(row.utc_day, row.size, row.queries, row.found / row.wanted if row.wanted else None)
        for row in rows
    ]
