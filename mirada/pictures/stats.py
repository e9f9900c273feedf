"""How many images there are, how large they are, and in which months they came."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session

from mirada.db.models import Content, Image
from mirada.db.visibility import may_see
from mirada.kernel.audience import Audience

MONTHS_AT_ONCE = 60
"""Of one statement: each is a subquery of it."""


@dataclass(frozen=True, slots=True)
class MonthCount:
    """How many images came in a month, UTC."""

    month: str
    count: int


@dataclass(frozen=True, slots=True)
class LibraryStats:
    """One user's images, or everybody's, in numbers.

    Attributes:
        images, public: how many there are, and how many of them are public.
        by_status: how many there are of each status that some have.
        bytes: size of their files; a file that was uploaded twice counts once.
        by_month: months in which some came, the oldest first.
    """

    images: int
    public: int
    by_status: dict[str, int]
    bytes: int
    by_month: list[MonthCount]


def library_stats(session: Session, owner_id: int | None) -> LibraryStats:
    """Return the numbers of one owner's images, or of everybody's; those in the trash do not count.

    The index `ix_mirada_images_counted` holds all that is read of them.

    Args:
        session: reads only: four statements, and one for each MONTHS_AT_ONCE months.
        owner_id: None for everybody's, which administrators alone are told.
    """
    these: ColumnElement[bool] = (
        Image.trashed_at.is_(None) if owner_id is None else may_see(Audience(owner_id).own_alone())
    )
    # Of an index on the status alone, every row would be read for whether it is in the trash.
    status = func.coalesce(Image.status, "")
    by_status = session.execute(select(status, func.count()).where(these).group_by(status)).all()
    public = session.execute(
        select(func.count()).select_from(Image).where(these, Image.is_public == true())
    )
    files = select(Image.content_id).where(these)
    size = session.execute(select(func.sum(Content.byte_size)).where(Content.id.in_(files)))
    return LibraryStats(
        images=sum(int(row[1]) for row in by_status),
        public=int(public.scalar_one()),
        by_status={str(row[0]): int(row[1]) for row in by_status},
        bytes=int(size.scalar_one() or 0),
        by_month=_by_month(session, these),
    )


def _by_month(session: Session, these: ColumnElement[bool]) -> list[MonthCount]:
    """Count by ranges of the index: to compute the month of every row, and sort by it, takes longest."""
    # Apart: SQLite takes an end of an index at once, and reads all of it for both.
    least = select(func.min(Image.created_at)).where(these).scalar_subquery()
    most = select(func.max(Image.created_at)).where(these).scalar_subquery()
    first, last = session.execute(select(least, most)).one()
    if first is None:
        return []
    months = range(_month_number(first), _month_number(last) + 1)
    counted: list[MonthCount] = []
    for start in range(0, len(months), MONTHS_AT_ONCE):
        some = months[start : start + MONTHS_AT_ONCE]
        counts = session.execute(select(*(_in_month(these, month) for month in some))).one()
        counted += [
            MonthCount(f"{_begin(month):%Y-%m}", int(count))
            for month, count in zip(some, counts, strict=True)
            if count
        ]
    return counted


def _in_month(these: ColumnElement[bool], month: int) -> ColumnElement[int]:
    came = (Image.created_at >= _begin(month), Image.created_at < _begin(month + 1))
    return select(func.count()).select_from(Image).where(these, *came).scalar_subquery()


def _month_number(at: datetime) -> int:
    return at.year * 12 + at.month - 1


def _begin(month: int) -> datetime:
    return datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
