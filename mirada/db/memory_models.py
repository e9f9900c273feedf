"""The creative memory's tables: texts and their vectors, captions, likes, comments, and styles.

They are apart from `mirada.db.models` because of its length. Locks are taken in this order: content,
image, text, the text's vectors. A text's row is the lock for everything about that text.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
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
    CaseSensitive,
    Dated,
    Edited,
    IndexedVector,
    LongText,
    Numbered,
    User,
)
from mirada.db.names import PREFIX


class TextContent(Numbered, Dated, Base):
    """A distinct text. Its id is never used again, so an index can refer to it.

    `body` is the text as it is embedded, `sha256` the digest of its UTF-8; see `kernel.prompts`.
    Images refer to it by `prompt_text_id`, `caption_text_id` and `description_text_id`; it is deleted
    with the last of them.
    """

    __tablename__ = f"{PREFIX}text_contents"
    __table_args__ = ({"sqlite_autoincrement": True},)

    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    body: Mapped[str] = mapped_column(LongText)


class TextEmbedding(IndexedVector, Base):
    """The vector of one text in one space; its tombstone if `is_deleted`.

    It is to texts as `Embedding` is to pictures: only `mirada.db.changes` writes `change_seq`, and
    `text_id` is not a foreign key, because a tombstone outlives its text.
    """

    __tablename__ = f"{PREFIX}text_embeddings"
    __table_args__ = (
        UniqueConstraint("space_id", "text_id"),
        Index(None, "space_id", "change_seq", "id"),
        Index(None, "text_id"),
        {"sqlite_autoincrement": True},
    )

    text_id: Mapped[int] = mapped_column(BigInteger)


class Caption(Numbered, Dated, Base):
    """A model's caption of a content, or the claim of the job that asks for it.

    It is written under the content's lock. It is kept by language, model and version of the prompt,
    so that a caption is paid only once. `refusal` is the reason why a reply was not usable. A claim
    names a job and its lease, and ends with the lease.
    """

    __tablename__ = f"{PREFIX}captions"
    __table_args__ = (
        UniqueConstraint("content_id", "language", "model", "prompt_version"),
        {"sqlite_autoincrement": True},
    )

    content_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}contents.id", ondelete="CASCADE"))
    language: Mapped[str] = mapped_column(String(5))
    model: Mapped[str] = mapped_column(String(100))
    prompt_version: Mapped[int] = mapped_column(Integer)
    caption: Mapped[str | None] = mapped_column(Text)
    refusal: Mapped[str | None] = mapped_column(String(255))
    claimed_job_id: Mapped[int | None] = mapped_column(BigInteger)
    claimed_token: Mapped[str | None] = mapped_column(String(32))


class Like(Dated, Base):
    """A like: at most one per person and image."""

    __tablename__ = f"{PREFIX}likes"

    image_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}images.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}users.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class Comment(Numbered, Dated, Base):
    """A person's comment on an image; `body` is plain text, whatever it looks like."""

    __tablename__ = f"{PREFIX}comments"
    __table_args__ = (
        Index(None, "image_id", "id"),
        {"sqlite_autoincrement": True},
    )

    image_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}images.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}users.id", ondelete="CASCADE"), index=True
    )
    body: Mapped[str] = mapped_column(Text)

    user: Mapped[User] = relationship()


class Style(Numbered, Edited, Base):
    """A style of the list of styles. While the table is empty, the built-in list is used."""

    __tablename__ = f"{PREFIX}styles"

    name: Mapped[str] = mapped_column(CaseSensitive, unique=True)
    descriptions: Mapped[list[str]] = mapped_column(JSON)
