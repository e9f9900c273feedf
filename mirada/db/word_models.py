"""The table of words by which images are found; see `mirada.db.word_index`."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from mirada.db.models import Base
from mirada.db.names import PREFIX


class WordWeight(Base):
    """A word of one image's texts or tags, and its weight there; see `kernel.keywords`.

    `word` is `number_of` the word. A search reads the newest images of a word, in the order of the
    primary key. A row goes with its image.
    """

    __tablename__ = f"{PREFIX}word_weights"
    __table_args__ = (
        Index(None, "image_id"),
        {"sqlite_with_rowid": False},
    )

    word: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}images.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    weight: Mapped[int] = mapped_column(SmallInteger)
