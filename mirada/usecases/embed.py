"""Give a content its vector and its images their status; the encoder runs between two transactions.

Whoever changes the status of a content's images, or its vectors, holds the lock on the content's row.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.contents import lock_content
from mirada.db.models import Embedding, Image
from mirada.domain.embeddings import EmbeddingSpace, Vector, to_blob
from mirada.domain.errors import InvalidInput
from mirada.domain.images import ImageStatus

UNFINISHED = (ImageStatus.PENDING, ImageStatus.PROCESSING)
MAX_FAILURE_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be embedded: a content and the key of its bytes in the image store."""

    content_id: int
    storage_key: str


def begin_embedding(
    session: Session, content_id: int, space_id: int, *, replace: bool = False
) -> Subject | None:
    """Mark the content's images PROCESSING and return what to embed; None if nothing is to be done.

    None means that the content was deleted, or that it has its vector already, in which case its
    images become READY. With `replace` a vector that exists is computed again.
    """
    content = lock_content(session, content_id)
    if content is None:
        return None
    if not replace and _vector_row(session, content_id, space_id) is not None:
        _set_status(session, content_id, ImageStatus.READY)
        return None
    _set_status(session, content_id, ImageStatus.PROCESSING, only=UNFINISHED)
    return Subject(content_id, content.storage_key)


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
    if lock_content(session, content_id) is None:
        return False
    row = _vector_row(session, content_id, space_id)
    is_written = row is None or replace
    if row is None:
        session.add(Embedding(space_id=space_id, content_id=content_id, vector=blob, crc32=crc32))
    elif replace:
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


def _vector_row(session: Session, content_id: int, space_id: int) -> Embedding | None:
    return session.execute(
        select(Embedding).where(
            Embedding.space_id == space_id,
            Embedding.content_id == content_id,
            Embedding.is_deleted.is_(False),
        )
    ).scalar_one_or_none()


def _set_status(
    session: Session,
    content_id: int,
    status: ImageStatus,
    *,
    only: Collection[ImageStatus] = (),
    failure: str | None = None,
) -> None:
    # The version is the owner's: a status that changes by itself must not void the ETag they hold.
    statement = update(Image).where(Image.content_id == content_id, Image.status != status)
    if only:
        statement = statement.where(Image.status.in_(only))
    session.execute(
        statement.values(status=status, failure=failure),
        execution_options={"synchronize_session": False},
    )
