"""The table of searches that somebody made lately; see `mirada.suggestions.recent`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base, CaseSensitive, Dated, Numbered, UtcDateTime
from mirada.db.names import PREFIX


class RecentSearch(Numbered, Dated, Base):
    """The words of a search that one person made; `digest` is of them without case and accents."""

    __tablename__ = f"{PREFIX}recent_searches"
    __table_args__ = (
        UniqueConstraint("owner_id", "digest"),
        Index(None, "owner_id", "searched_at"),
        Index(None, "searched_at"),
        # Ids are not used again: a page may still name one that is gone.
        {"sqlite_autoincrement": True},
    )

    owner_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}users.id", ondelete="CASCADE"))
    words: Mapped[str] = mapped_column(CaseSensitive)
    digest: Mapped[str] = mapped_column(String(64))
    searched_at: Mapped[datetime] = mapped_column(UtcDateTime)
