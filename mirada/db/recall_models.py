"""The tables of recall while serving: searches to repeat, what repeating them showed, what it led to.

Searches are kept for minutes, and no words of them; see `mirada.kernel.live_recall`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ForeignKey,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base, Blob, Dated, Edited, Numbered
from mirada.db.names import PREFIX

SPACES = f"{PREFIX}embedding_spaces.id"


class WayOfSearching(Numbered):
    """A table about one way of searching for one form of query in one snapshot.

    `factor` is how many times wider than measured it was searched. `snapshot` is as in
    `IndexStatus.measured_on`.
    """

    snapshot: Mapped[str] = mapped_column(String(64))
    form: Mapped[str] = mapped_column(String(10))
    way: Mapped[str] = mapped_column(String(20))
    factor: Mapped[int] = mapped_column(Integer)


class RecallSample(WayOfSearching, Dated, Base):
    """A search's answer until a worker has repeated it exactly; see `Sample`.

    `found` holds [id, similarity] pairs, `scope` what was permitted. `viewer_id` is in it too, and here
    so that a user's end removes it.
    """

    __tablename__ = f"{PREFIX}recall_samples"

    space_id: Mapped[int] = mapped_column(ForeignKey(SPACES), index=True)
    viewer_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    scope: Mapped[dict[str, Any]] = mapped_column(JSON)
    k: Mapped[int] = mapped_column(Integer)
    query: Mapped[bytes] = mapped_column(Blob)
    found: Mapped[list[list[Any]]] = mapped_column(JSON)
    permitted_count: Mapped[int] = mapped_column(BigInteger)
    change_seq: Mapped[int] = mapped_column(BigInteger)


class RecallCount(WayOfSearching, Edited, Base):
    """How many neighbours the searches of one kind wanted and found, of those that were repeated."""

    __tablename__ = f"{PREFIX}recall_counts"
    __table_args__ = (
        UniqueConstraint(
            "space_id",
            "snapshot",
            "form",
            "way",
            "factor",
            "share",
            name=f"uq_{__tablename__}_kind",
        ),
    )

    space_id: Mapped[int] = mapped_column(ForeignKey(SPACES))
    share: Mapped[str] = mapped_column(String(10))
    queries: Mapped[int] = mapped_column(BigInteger, default=0)
    wanted: Mapped[int] = mapped_column(BigInteger, default=0)
    found: Mapped[int] = mapped_column(BigInteger, default=0)


class RecallLesson(WayOfSearching, Dated, Base):
    """A lesson of serving about one way for one form of query: to search wider, or not to use it."""

    __tablename__ = f"{PREFIX}recall_lessons"
    __table_args__ = (UniqueConstraint("space_id", "snapshot", "form", "way"),)

    space_id: Mapped[int] = mapped_column(ForeignKey(SPACES))
    is_left_out: Mapped[bool] = mapped_column(Boolean)
    reason: Mapped[str] = mapped_column(Text)


class IndexDay(Base):
    """A day of a space's index: its size, and the recall of the searches that were repeated.

    `utc_day` is the number of days since 1970-01-01. `size` is of the last count; None before the first.
    """

    __tablename__ = f"{PREFIX}index_days"

    space_id: Mapped[int] = mapped_column(ForeignKey(SPACES), primary_key=True)
    utc_day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    size: Mapped[int | None] = mapped_column(BigInteger)
    queries: Mapped[int] = mapped_column(BigInteger, default=0)
    wanted: Mapped[int] = mapped_column(BigInteger, default=0)
    found: Mapped[int] = mapped_column(BigInteger, default=0)
