"""The table of rankings that searches are paged through; a row lives for minutes."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base, Blob, Numbered
from mirada.db.names import PREFIX


class KeptRanking(Numbered, Base):
    """A question that somebody pages through, and what was ranked for it.

    `ticket` is the name that the first page gave it, 24 hex digits. `caller` is a hash of who asked.
    `ranked_count` is None while only the question is kept: a question too long for a cursor is kept
    before anybody asks for its second page. `byte_size` is the size of the row's BLOBs together.
    `made_at_ms` is in Unix milliseconds of the database's clock.
    """

    __tablename__ = f"{PREFIX}kept_rankings"
    __table_args__ = (
        Index(None, "ticket", unique=True),
        # Bounds are counted from this index alone, without the rows and their BLOBs.
        Index(None, "made_at_ms", "caller", "byte_size"),
        Index(None, "caller", "made_at_ms"),
        # Numbers are not given again: a cursor holds one.
        {"sqlite_autoincrement": True},
    )

    ticket: Mapped[str] = mapped_column(String(24))
    caller: Mapped[str] = mapped_column(String(64))
    made_at_ms: Mapped[int] = mapped_column(BigInteger)
    byte_size: Mapped[int] = mapped_column(Integer)
    ranked_count: Mapped[int | None] = mapped_column(Integer)
    question: Mapped[bytes] = mapped_column(Blob)
    about: Mapped[bytes] = mapped_column(Blob)
    places: Mapped[bytes] = mapped_column(Blob)
