"""Give a content its vector and its images their status; the encoder runs between two transactions.

Whoever changes the status of a content's images, or its vectors, holds the lock on the content's row.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import bindparam, false, select, update
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.models import Content, Embedding, Image
from mirada.domain.embeddings import EmbeddingSpace, Vector, to_blob
from mirada.domain.errors import InvalidInput
from mirada.domain.images import ImageStatus

UNFINISHED = (ImageStatus.PENDING, ImageStatus.PROCESSING)
MAX_FAILURE_CHARS = 2_000


# Built once: putting a statement together takes SQLAlchemy longer than SQLite takes to run it, and
# these run for every picture.
_LOCK = select(Content.storage_key).where(Content.id == bindparam("content")).with_for_update()
_VECTOR_ID = select(Embedding.id).where(
    Embedding.space_id == bindparam("space"),
    Embedding.content_id == bindparam("content"),
    Embedding.is_deleted == false(),
)
# The version is the owner's: a status that changes by itself must not void the ETag they hold.
_SET_STATUS = (
    update(Image.__table__)  # type: ignore[arg-type]
    .where(
        Image.__table__.c.content_id == bindparam("content"),
        Image.__table__.c.status.in_(bindparam("only", expanding=True)),
    )
    .values(status=bindparam("new_status"), failure=bindparam("new_failure"))
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be embedded: a content and the key of its bytes in the image store."""

    content_id: int
    storage_key: str


def begin_embedding(
    session: Session, content_id: int, space_id: int, *, replace: bool = False
) -> Subject | None:
    """Mark the content's images PROCESSING and return what to embed; None if nothing is to be done.

    None means that the content was deleted, that its bytes are not kept, or that it has its vector
    already, in which case its images become READY. With `replace` a vector that exists is computed
    again.
    """
    storage_key = session.execute(_LOCK, {"content": content_id}).scalar_one_or_none()
    if not storage_key:
        return None
    if not replace and _vector_id(session, content_id, space_id) is not None:
        _set_status(session, content_id, ImageStatus.READY)
        return None
    _set_status(session, content_id, ImageStatus.PROCESSING, only=UNFINISHED)
    return Subject(content_id, storage_key)


def store_embedding(
    session: Session,
    content_id: int,
    space_id: int,
    space: EmbeddingSpace,
    vector: Vector,
    *,
    replace: bool = False,
) -> bool:
    """Write the content's vector and make its images READY; running it twice changes nothing.

    Args:
        session: the transaction; it may also finish the job.
        content_id: whose picture it is. A content deleted meanwhile is left deleted.
        space_id: the row of `space`.
        space: what the encoder computed in.
        vector: (d,) float32, unit norm.
        replace: write over a vector that exists.

    Returns:
        Whether a vector was written.

    Raises:
        InvalidInput: the vector is not of the space's dimension, not finite or not of unit norm.
    """
    if vector.shape != (space.dimension,):
        raise InvalidInput(
            f"A vector of {space.name} has {space.dimension} numbers, not {vector.shape}."
        )
    blob, crc32 = to_blob(vector)
    if session.execute(_LOCK, {"content": content_id}).first() is None:
        return False
    existing = _vector_id(session, content_id, space_id)
    is_written = existing is None or replace
    if existing is None:
        session.add(Embedding(space_id=space_id, content_id=content_id, vector=blob, crc32=crc32))
        session.flush()
    elif replace:
        row = session.get_one(Embedding, existing)
        row.vector, row.crc32 = blob, crc32
        session.flush()
    _set_status(session, content_id, ImageStatus.READY)
    if is_written:
        changes.touch(session, [content_id])
    return is_written


def fail_images(session: Session, content_id: int, reason: str) -> None:
    """Make the content's images that still wait FAILED, with the reason. Lock the content first."""
    _set_status(
        session,
        content_id,
        ImageStatus.FAILED,
        only=UNFINISHED,
        failure=reason[:MAX_FAILURE_CHARS],
    )


def await_images(session: Session, content_id: int, *, only_failed: bool = False) -> None:
    """Make the content's FAILED images PENDING, because they are tried again. Lock it first.

    Images that an attempt left PROCESSING go with them, unless `only_failed`: it may be running.
    """
    waiting = (ImageStatus.FAILED,) if only_failed else (ImageStatus.FAILED, ImageStatus.PROCESSING)
    _set_status(session, content_id, ImageStatus.PENDING, only=waiting)


def _vector_id(session: Session, content_id: int, space_id: int) -> int | None:
    found = session.execute(_VECTOR_ID, {"content": content_id, "space": space_id})
    return found.scalar_one_or_none()


def _set_status(
    session: Session,
    content_id: int,
    status: ImageStatus,
    *,
    only: Collection[ImageStatus] = tuple(ImageStatus),
    failure: str | None = None,
) -> None:
    session.execute(
        _SET_STATUS,
        {
            "content": content_id,
            "only": [old for old in only if old is not status],
            "new_status": status,
            "new_failure": failure,
        },
    )
