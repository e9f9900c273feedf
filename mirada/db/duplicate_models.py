"""The tables of duplicates: which contents are the same picture, and what people said of that."""

from __future__ import annotations

from sqlalchemy import Boolean, ForeignKey, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base
from mirada.db.names import PREFIX


class SamePicture(Base):
    """Two contents that are the same picture by their hashes; the one has the lower id.

    `bits` of 256 terms tell something in both, and differ. Whoever asks for it asks who may see images of
    both, which were looked at for duplicates (`visibility.is_looked_at`).
    """

    __tablename__ = f"{PREFIX}same_pictures"
    __table_args__ = (Index(None, "other_id"),)

    one_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}contents.id", ondelete="CASCADE"), primary_key=True
    )
    other_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}contents.id", ondelete="CASCADE"), primary_key=True
    )
    bits: Mapped[int] = mapped_column(SmallInteger)
    is_mirrored: Mapped[bool] = mapped_column(Boolean)


class NotDuplicates(Base):
    """Two images that somebody said are no duplicates for them; the one has the lower id."""

    __tablename__ = f"{PREFIX}not_duplicates"
    __table_args__ = (Index(None, "one_id"), Index(None, "other_id"))

    user_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}users.id", ondelete="CASCADE"), primary_key=True
    )
    one_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}images.id", ondelete="CASCADE"), primary_key=True
    )
    other_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}images.id", ondelete="CASCADE"), primary_key=True
    )
