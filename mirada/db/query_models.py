"""The table of pictures that are only asked with; see `mirada.search.query_pictures`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base, Blob, Dated, StoredVector, UtcDateTime
from mirada.db.names import PREFIX


class QueryPicture(StoredVector, Dated, Base):
    """A picture that somebody asks with for a day: its vector and a small copy, never the file.

    It is no image and no content: no list, index or search knows of it.
    """

    __tablename__ = f"{PREFIX}query_pictures"
    __table_args__ = (
        Index(None, "owner_id", "id"),
        Index(None, "expires_at"),
        # Ids are not used again: an address may still name one that is gone.
        {"sqlite_autoincrement": True},
    )

    owner_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}users.id", ondelete="CASCADE"))
    sha256: Mapped[str] = mapped_column(String(64))
    thumbnail: Mapped[bytes] = mapped_column(Blob)
    byte_size: Mapped[int] = mapped_column(Integer)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
