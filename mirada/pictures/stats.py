"""How many images there are, how large they are, and in which months they came."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, extract, func, select, true
from sqlalchemy.orm import Session

from mirada.db.models import Content, Image
from mirada.db.visibility import may_see
from mirada.kernel.audience import Audience


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
    """Return the numbers of one owner's images, or of everybody's.

    Args:
        session: reads only, three statements.
        owner_id: None for everybody's, which administrators alone are told.
    """
    these: ColumnElement[bool] = (
        true() if owner_id is None else may_see(Audience(owner_id).own_alone())
    )
    public = func.sum(case((Image.is_public == true(), 1), else_=0))
    by_status = session.execute(
        select(Image.status, func.count(), public).where(these).group_by(Image.status)
    ).all()
    files = select(Image.content_id).where(these)
    size = session.execute(select(func.sum(Content.byte_size)).where(Content.id.in_(files)))
    year, month = (extract(part, Image.created_at) for part in ("year", "month"))
    months = session.execute(
        select(year, month, func.count()).where(these).group_by(year, month).order_by(year, month)
    )
    return LibraryStats(
        images=sum(int(row[1]) for row in by_status),
        public=sum(int(row[2]) for row in by_status),
        by_status={str(row[0]): int(row[1]) for row in by_status},
        bytes=int(size.scalar_one() or 0),
        by_month=[MonthCount(f"{int(row[0]):04}-{int(row[1]):02}", int(row[2])) for row in months],
    )
