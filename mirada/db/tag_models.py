"""The table of tags; see `mirada.pictures.tags`."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base, CaseSensitive
from mirada.db.names import PREFIX


class ImageTag(Base):
    """A tag of an image, by which images are filtered and counted; it goes with its image.

    `tag` is its `kernel.tags.tag_key`, `name` how it is shown. What is shown of an image stands in
    `images.tags` as well, in its order: a list of images is one statement.
    """

    __tablename__ = f"{PREFIX}image_tags"
    __table_args__ = (
        Index(None, "tag", "image_id"),
        {"sqlite_with_rowid": False},
    )

    image_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}images.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    tag: Mapped[str] = mapped_column(CaseSensitive, primary_key=True)
    name: Mapped[str] = mapped_column(CaseSensitive)
