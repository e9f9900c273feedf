"""The tables of users, images, embeddings, jobs and indexes, in one module: they refer to one another.

They are rows only. Their meaning is in `mirada.kernel`; the capabilities work with them.

Locks are taken in this order: content, image, embedding, job, and the change counter last. A content's
row is the lock for everything about that content: its vectors, its file, and its images' status.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from mirada.db.clock import now_ms
from mirada.db.names import PREFIX
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.images import ImageStatus
from mirada.kernel.picture_tokens import TOKEN_CHARS, new_token

Id = BigInteger().with_variant(Integer, "sqlite")
"""The type of ids. SQLite numbers rows only for INTEGER PRIMARY KEY."""
Blob = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
CaseSensitive = String(191).with_variant(
    mysql.VARCHAR(191, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
"""A short text that is compared by its characters. In MySQL's usual collations "a" equals "A"."""
LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


class UtcDateTime(TypeDecorator[datetime]):
    """A UTC datetime with microseconds on every engine. Raises ValueError for one without a time zone."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Return the column type; MySQL keeps microseconds only in DATETIME(6)."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the UTC time without its time zone, as it is stored."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A stored time needs a time zone.")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the stored time with the time zone UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


def utc_now() -> datetime:
    """Return the time of this process's clock; due times of jobs use the database's clock instead."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """The declarative base. It names constraints, so that migrations can drop them on every engine."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Numbered:
    """A table with an id."""

    id: Mapped[int] = mapped_column(Id, primary_key=True, sort_order=-1)


class Dated:
    """A table that keeps the time of a row's insertion, in UTC."""

    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, sort_order=1)


class Edited(Dated):
    """A table that also keeps the time of a row's last change, in UTC."""

    updated_at: Mapped[datetime] = mapped_column(
        UtcDateTime, default=utc_now, onupdate=utc_now, sort_order=1
    )


class StoredVector(Numbered):
    """A table of vectors with their checksums, each in one space; see `kernel.embeddings.to_blob`."""

    space_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}embedding_spaces.id"))
    vector: Mapped[bytes] = mapped_column("vector", Blob, quote=True)
    crc32: Mapped[int] = mapped_column(BigInteger)


class IndexedVector(StoredVector):
    """A table of vectors that indexes follow; a row that `is_deleted` is a tombstone.

    Only `mirada.db.changes` writes `change_seq`.
    """

    is_deleted: Mapped[bool] = mapped_column(Boolean, default=False)
    change_seq: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class Installation(Base):
    """The single row (id 1) that identifies this database and pins its image space."""

    __tablename__ = f"{PREFIX}installation"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    db_epoch: Mapped[str] = mapped_column(String(36))
    image_space_id: Mapped[int | None] = mapped_column(ForeignKey(f"{PREFIX}embedding_spaces.id"))
    tombstone_floor: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class ChangeCounter(Base):
    """The single row (id 1) with the change counter; its lock makes numbers follow commit order."""

    __tablename__ = f"{PREFIX}change_counter"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    v: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class Role(StrEnum):
    """The role of a user, which decides what the user may do."""

    USER = "user"
    ADMINISTRATOR = "administrator"


class User(Numbered, Dated, Base):
    """A person or a service that owns images.

    `external_id` is the host product's own id of its person; None for a user of this installation.
    The row of a user who was ended stays, with the time in `ended_at`. `quota_images` and `quota_bytes`
    are limits of their own; None where those of everybody hold. The last three are a
    `people.preferences.Preferences`.
    """

    __tablename__ = f"{PREFIX}users"

    username: Mapped[str] = mapped_column(String(150), unique=True)
    role: Mapped[str] = mapped_column(String(20), default=Role.USER)
    external_id: Mapped[str | None] = mapped_column(CaseSensitive, index=True, unique=True)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    quota_images: Mapped[int | None] = mapped_column(BigInteger)
    quota_bytes: Mapped[int | None] = mapped_column(BigInteger)
    locale: Mapped[str | None] = mapped_column(String(20))
    theme: Mapped[str | None] = mapped_column(String(20))
    density: Mapped[str | None] = mapped_column(String(20))


class ApiKey(Numbered, Dated, Base):
    """An API key as its SHA-256; the key itself was shown once and is not stored.

    `scopes` are separated by blanks; None permits everything that the owner may do. A rotated key is
    valid until its `revoked_at`, which is in the future. `last_used_at` is written at intervals.
    """

    __tablename__ = f"{PREFIX}api_keys"

    user_id: Mapped[int] = mapped_column(
        ForeignKey(f"{PREFIX}users.id", ondelete="CASCADE"), index=True
    )
    prefix: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str | None] = mapped_column(String(100))
    scopes: Mapped[str | None] = mapped_column(String(100))
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Content(Numbered, Dated, Base):
    """The distinct bytes of a picture. Its id is never used again, so an index can refer to it.

    An empty `storage_key` means that the bytes are not stored: the picture was classified and not
    uploaded. `palette` has the form of `embedding.palette`. `nsfw_score` is what
    `search.judging` made of it by the vector in `judged_space_id`; it counts for images that were there at
    `judged_at`, while that space is in use. `thumbnails_edition` is `copies.ALL_MADE`
    once all thumbnails were made, a moving copy and the look too; 0 for none. The last five are of an
    `embedding.looks.Look`, None until a worker has seen the picture.
    """

    __tablename__ = f"{PREFIX}contents"
    __table_args__ = (
        Index(None, "is_animated"),
        Index(None, "nsfw_score"),
        Index(None, "thumbnails_edition"),
        {"sqlite_autoincrement": True},
    )

    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    storage_key: Mapped[str] = mapped_column(String(191))
    byte_size: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[str] = mapped_column(String(10))
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    is_animated: Mapped[bool] = mapped_column(Boolean)
    palette: Mapped[list[list[Any]] | None] = mapped_column(JSON(none_as_null=True))
    nsfw_score: Mapped[float | None] = mapped_column(Double)
    judged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    judged_space_id: Mapped[int | None] = mapped_column(BigInteger)
    thumbnails_edition: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    has_alpha: Mapped[bool | None] = mapped_column(Boolean)
    placeholder: Mapped[str | None] = mapped_column(String(40))
    colour: Mapped[str | None] = mapped_column(String(7))
    lightness: Mapped[float | None] = mapped_column(Double)
    # Lists of images have no use for it.
    picture_hash: Mapped[bytes | None] = mapped_column(LargeBinary(), deferred=True)

    images: Mapped[list[Image]] = relationship(back_populates="content")


class Image(Numbered, Edited, Base):
    """One person's picture: the resource that clients upload, list and delete. Images may share a content.

    `prompt_text_id`, `caption_text_id` and `description_text_id` are written under the text's lock. They
    are not foreign keys, because SQLite would copy the whole table to add one.

    `asset_id` is what the owner calls it elsewhere. `generation` holds the file metadata. `description` is
    what a model wrote of the picture, which is its caption too where no person wrote one. `auto_caption`
    says whether the owner permits a model to write. `prompt_is_due`, `caption_is_due` and
    `description_is_due` say whether the image's own job has still to embed the text. Until then the image
    shows no vector of the text, since an existing one belongs to somebody else. `is_hidden` says that an
    administrator made it private: its owner cannot undo that; `hidden_reason` tells them why.
    `external_id` is what the system calls it that it was imported from, `external_source` that import's
    name, and `external_name` the name of its file in that system's addresses. `picture_token` stands in
    the addresses of its pictures; `pictures.images.touch_image` gives a new one whenever who may see it
    changes. `tags` are shown in this order, None without any; they are filtered by in `tag_models`.
    `words_version` says by which rules the words of its texts were cut; see `word_index`.
    `duplicates_edition` says by which rules its duplicates were looked for, 0 for not yet.
    `trashed_at`, in whole seconds, says that it is in its owner's trash: `visibility.may_see` shows it to
    nobody.
    """

    __tablename__ = f"{PREFIX}images"
    __table_args__ = (
        Index(None, "owner_id", "id"),
        Index(None, "owner_id", "asset_id"),
        # With what is counted by months: see below.
        Index(None, "created_at", "trashed_at"),
        Index(None, "like_count"),
        Index(None, "prompt_text_id"),
        Index(None, "caption_text_id"),
        Index(None, "words_version"),
        Index(None, "duplicates_edition", "id"),
        Index(None, "description_text_id"),
        Index(None, "updated_at"),
        Index(None, "picture_token", unique=True),
        # An import that is run again finds what it brought, and brings nothing twice.
        Index(None, "external_id", "external_source", unique=True),
        Index(None, "external_name"),
        # All that is counted of somebody's images: rows hold long texts, and are not read for it.
        Index(
            f"ix_{PREFIX}images_counted",
            *("owner_id", "created_at", "status", "is_public", "content_id", "trashed_at"),
        ),
        # Of the few rows that are in the trash, where the database can: SQLite would read all others by
        # an index on NULL.
        Index(
            f"ix_{PREFIX}images_trash",
            *("trashed_at", "owner_id"),
            sqlite_where=text("trashed_at IS NOT NULL"),
            postgresql_where=text("trashed_at IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    owner_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}users.id"))
    content_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}contents.id"), index=True)
    filename: Mapped[str | None] = mapped_column(String(255))
    asset_id: Mapped[str | None] = mapped_column(String(191))
    external_source: Mapped[str | None] = mapped_column(String(64))
    external_id: Mapped[str | None] = mapped_column(CaseSensitive)
    external_name: Mapped[str | None] = mapped_column(CaseSensitive)
    prompt: Mapped[str | None] = mapped_column(LongText)
    prompt_text_id: Mapped[int | None] = mapped_column(BigInteger)
    prompt_is_due: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    generation: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    caption: Mapped[str | None] = mapped_column(LongText)
    caption_text_id: Mapped[int | None] = mapped_column(BigInteger)
    caption_is_due: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    caption_source: Mapped[str | None] = mapped_column(String(10))
    caption_model: Mapped[str | None] = mapped_column(String(100))
    caption_language: Mapped[str | None] = mapped_column(String(5))
    caption_prompt_version: Mapped[int | None] = mapped_column(Integer)
    description: Mapped[str | None] = mapped_column(LongText)
    description_text_id: Mapped[int | None] = mapped_column(BigInteger)
    description_is_due: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    description_model: Mapped[str | None] = mapped_column(String(100))
    description_language: Mapped[str | None] = mapped_column(String(5))
    description_prompt_version: Mapped[int | None] = mapped_column(Integer)
    auto_caption: Mapped[bool] = mapped_column(Boolean, default=True, server_default=true())
    tags: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    words_version: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    duplicates_edition: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    is_public: Mapped[bool] = mapped_column(Boolean)
    is_hidden: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    hidden_reason: Mapped[str | None] = mapped_column(Text)
    trashed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    picture_token: Mapped[str | None] = mapped_column(String(TOKEN_CHARS), default=new_token)
    status: Mapped[str] = mapped_column(String(12), default=ImageStatus.PENDING, index=True)
    failure: Mapped[str | None] = mapped_column(Text)
    like_count: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    comment_count: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    version: Mapped[int] = mapped_column(Integer, default=1)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy reads it

    content: Mapped[Content] = relationship(back_populates="images")
    owner: Mapped[User] = relationship()


class SpaceState(StrEnum):
    """The state of a space: being filled, in use, or kept for going back."""

    BUILDING = "building"
    ACTIVE = "active"
    RETIRED = "retired"


class Space(Numbered, Dated, Base):
    """A row for an EmbeddingSpace.

    `source` and `source_tag` are what CLIP_MODEL and CLIP_PRETRAINED would say of its model, where a change
    of the model has written them. `near_duplicate_cosine` is None where the usual one counts.
    """

    __tablename__ = f"{PREFIX}embedding_spaces"

    name: Mapped[str] = mapped_column(String(191), unique=True)
    kind: Mapped[str] = mapped_column(String(10))
    encoder: Mapped[str] = mapped_column(String(100))
    pretrained: Mapped[str] = mapped_column(String(100))
    preprocessing: Mapped[str] = mapped_column(String(100))
    dimension: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(10), default=SpaceState.ACTIVE)
    source: Mapped[str | None] = mapped_column(String(500))
    source_tag: Mapped[str | None] = mapped_column(String(500))
    near_duplicate_cosine: Mapped[float | None] = mapped_column(Double)

    def to_space(self) -> EmbeddingSpace:
        """Return the row as an EmbeddingSpace."""
        return EmbeddingSpace(
            SpaceKind(self.kind), self.encoder, self.pretrained, self.preprocessing, self.dimension
        )


class Embedding(IndexedVector, Base):
    """The vector of one content in one space; its tombstone if `is_deleted`.

    Only `mirada.db.changes` writes `change_seq`. `content_id` is not a foreign key, because a
    tombstone outlives its content.
    """

    __tablename__ = f"{PREFIX}embeddings"
    __table_args__ = (
        UniqueConstraint("space_id", "content_id"),
        Index(None, "space_id", "change_seq", "id"),
        Index(None, "content_id"),
        {"sqlite_autoincrement": True},
    )

    content_id: Mapped[int] = mapped_column(BigInteger)


class JobState(StrEnum):
    """The state of a job. All but the first two are final until the job is queued again."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"


class Job(Numbered, Dated, Base):
    """A job: work that must not be lost. `_ms` columns are Unix milliseconds of the database's clock.

    `error_code` is the code of `last_error`; None for errors of before that column. `changed_at_ms` is
    written by every statement that writes the row, its lease included.
    """

    __tablename__ = f"{PREFIX}jobs"
    __table_args__ = (
        Index(None, "state", "next_run_at_ms"),
        Index(None, "subject_id"),
        Index(None, "changed_at_ms"),
    )

    kind: Mapped[str] = mapped_column(String(50))
    subject_id: Mapped[int | None] = mapped_column(BigInteger)
    space_id: Mapped[int | None] = mapped_column(BigInteger)
    same_work: Mapped[str] = mapped_column(String(150), unique=True)
    arguments: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    owner_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    request_id: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(12), default=JobState.QUEUED)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    crashes: Mapped[int] = mapped_column(Integer, default=0)
    batch_size: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    """How many jobs were claimed together for the last attempt, this one included."""
    is_suspect: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    """An attempt ended without a word, its own or a batch's: from then on it is tried alone."""
    progress_done: Mapped[int] = mapped_column(BigInteger, default=0)
    progress_total: Mapped[int | None] = mapped_column(BigInteger)
    next_run_at_ms: Mapped[int] = mapped_column(BigInteger, default=now_ms())
    rung_at_ms: Mapped[int | None] = mapped_column(BigInteger)
    started_at_ms: Mapped[int | None] = mapped_column(BigInteger)
    finished_at_ms: Mapped[int | None] = mapped_column(BigInteger)
    lease_token: Mapped[str | None] = mapped_column(String(32))
    lease_until_ms: Mapped[int | None] = mapped_column(BigInteger)
    last_error: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(String(40))
    changed_at_ms: Mapped[int] = mapped_column(
        BigInteger, default=now_ms(), onupdate=now_ms(), server_default="0"
    )


class Lease(Base):
    """A named lease that one process holds for a while; `fencing_token` grows with every holder."""

    __tablename__ = f"{PREFIX}leases"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    fencing_token: Mapped[int] = mapped_column(BigInteger, default=0)
    holder: Mapped[str | None] = mapped_column(String(100))
    lease_until_ms: Mapped[int] = mapped_column(BigInteger, default=0)


class IndexSnapshot(Numbered, Dated, Base):
    """A published index snapshot. A folder without such a row is not a snapshot."""

    __tablename__ = f"{PREFIX}index_snapshots"

    name: Mapped[str] = mapped_column(String(64), unique=True)
    space_id: Mapped[int] = mapped_column(ForeignKey(f"{PREFIX}embedding_spaces.id"), index=True)
    change_seq: Mapped[int] = mapped_column(BigInteger)
    db_epoch: Mapped[str] = mapped_column(String(36))
    sha256: Mapped[str] = mapped_column(String(64))
    row_count: Mapped[int] = mapped_column(BigInteger)
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON)
    fencing_token: Mapped[int] = mapped_column(BigInteger)
    set_aside_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    set_aside_reason: Mapped[str | None] = mapped_column(Text)


class IdempotencyKey(Numbered, Base):
    """The result of a POST with an Idempotency-Key, so that a repeated request does nothing twice."""

    __tablename__ = f"{PREFIX}idempotency_keys"
    __table_args__ = (UniqueConstraint("owner_id", "key"),)

    owner_id: Mapped[int] = mapped_column(BigInteger)
    key: Mapped[str] = mapped_column(CaseSensitive)
    fingerprint: Mapped[str] = mapped_column(String(64))
    subject_id: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, index=True)
