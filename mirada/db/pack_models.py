"""The tables of packs: ordered sets of pictures, and what was decided about suggestions for them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Index, Integer, String, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from mirada.db.models import Base, CaseSensitive, Dated, Edited, LongText, Numbered, User
from mirada.db.names import PREFIX


class Pack(Numbered, Edited, Base):
    """A pack of one person's; the pictures in it may be several people's.

    `query` is what a pack that fills itself is filled by, None for one that people fill. `theme` is what
    verdicts are given for where suggestions are taken or rejected. `cover_image_id` is no foreign key: who
    sees the cover is asked each time, and an image that is gone is seen by nobody. `version` grows with
    every change that the owner makes. `external_source` and `external_id` are of an import.
    """

    __tablename__ = f"{PREFIX}packs"
    __table_args__ = (
        Index(None, "owner_id", "id"),
        Index(None, "is_public", "id"),
        Index(None, "external_id", "external_source", unique=True),
        # Ids are not used again: an address may still name one that is gone.
        {"sqlite_autoincrement": True},
    )

    owner_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}users.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(String(191))
    description: Mapped[str | None] = mapped_column(LongText)
    is_public: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    theme: Mapped[str | None] = mapped_column(CaseSensitive)
    cover_image_id: Mapped[int | None] = mapped_column(BigInteger)
    query: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    version: Mapped[int] = mapped_column(Integer, default=1)
    external_source: Mapped[str | None] = mapped_column(String(64))
    external_id: Mapped[str | None] = mapped_column(CaseSensitive)

    owner: Mapped[User] = relationship()


class PackImage(Dated, Base):
    """A picture in a pack: pictures are ordered by `position`, which may leave numbers out.

    `emojis` are those that the picture stands for in this pack.
    """

    __tablename__ = f"{PREFIX}pack_images"
    __table_args__ = (Index(None, "pack_id", "position"),)

    pack_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}packs.id", ondelete="CASCADE"), primary_key=True
    )
    image_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}images.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    position: Mapped[int] = mapped_column(Integer)
    emojis: Mapped[list[str]] = mapped_column(JSON, default=list)


class PackChoice(Dated, Base):
    """A suggestion for a pack that was taken or rejected.

    `feedback_id` is the verdict that this gave, None for none; `was_accepted` is what that verdict's
    giver had said before, None where they had said nothing.
    """

    __tablename__ = f"{PREFIX}pack_choices"

    pack_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}packs.id", ondelete="CASCADE"), primary_key=True
    )
    image_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}images.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    accepted: Mapped[bool] = mapped_column(Boolean)
    feedback_id: Mapped[int | None] = mapped_column(BigInteger)
    was_accepted: Mapped[bool | None] = mapped_column(Boolean)
