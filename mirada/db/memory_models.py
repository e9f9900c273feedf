"""The creative memory's tables: texts and their vectors, captions, likes, comments, and styles.

Apart from `mirada.db.models` for their length alone. Lock order: content, image, text, then the
text's vectors; a text's row is the lock for everything about that text.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from mirada.db.models import (
    Base,
    Blob,
    CaseSensitive,
    Id,
    LongText,
    User,
    UtcDateTime,
    utc_now,
)


class TextContent(Base):
    """A distinct text. Its id is never used again, so an index can be keyed by vectors of it.

    `body` is the text as it is embedded, `sha256` that of its UTF-8; see `kernel.prompts`. Images
    name it by `prompt_text_id` and `caption_text_id`; it goes with the last of them.
    """

    __tablename__ = "text_contents"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    body: Mapped[str] = mapped_column(LongText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class TextEmbedding(Base):
    """The vector of one text in one space, or, once `is_deleted`, its tombstone.

    As `Embedding` is for pictures: `change_seq` is written by `mirada.db.changes` alone, and
    `text_id` is no foreign key, for a tombstone outlives its text.
    """

    __tablename__ = "text_embeddings"
    __table_args__ = (
        UniqueConstraint("space_id", "text_id"),
        Index("ix_text_embeddings_space_id_change_seq_id", "space_id", "change_seq", "id"),
        Index("ix_text_embeddings_text_id", "text_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    space_id: Mapped[int] = mapped_column(ForeignKey("embedding_spaces.id"))
    text_id: Mapped[int] = mapped_column(BigInteger)
    vector: Mapped[bytes] = mapped_column(Blob)
    crc32: Mapped[int] = mapped_column(BigInteger)
    is_deleted: Mapped[bool] = mapped_column(Boolean, default=False)
    change_seq: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class Caption(Base):
    """What a model wrote of a content, or that it is being asked; written under the content's lock.

    Kept by language, model and version of the instructions, so that nothing is paid twice. `refusal`
    is why an answer was of no use. Whoever asks is named by its job and that job's lease: a claim
    stands no longer than the lease.
    """

    __tablename__ = "captions"
    __table_args__ = (
        UniqueConstraint("content_id", "language", "model", "prompt_version"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    content_id: Mapped[int] = mapped_column(ForeignKey("contents.id", ondelete="CASCADE"))
    language: Mapped[str] = mapped_column(String(5))
    model: Mapped[str] = mapped_column(String(100))
    prompt_version: Mapped[int] = mapped_column(Integer)
    caption: Mapped[str | None] = mapped_column(Text)
    refusal: Mapped[str | None] = mapped_column(String(255))
    claimed_job_id: Mapped[int | None] = mapped_column(BigInteger)
    claimed_token: Mapped[str | None] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Like(Base):
    """That a person likes an image; once per person and image, whatever is sent."""

    __tablename__ = "likes"

    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Comment(Base):
    """What a person wrote under an image: plain text, whatever it looks like."""

    __tablename__ = "comments"
    __table_args__ = (
        Index("ix_comments_image_id_id", "image_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    user: Mapped[User] = relationship()


class Style(Base):
    """A known style of the list. While the table is empty the built-in list is in force."""

    __tablename__ = "styles"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(CaseSensitive, unique=True)
    descriptions: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, onupdate=utc_now)
