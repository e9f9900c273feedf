"""Remember what people had classified: hash, vector, theme and asset id, never the bytes.

Such a picture belongs to whoever sent it. It is no image: nothing lists it, and only its owner's own
searches for similar pictures find it. Computing what it shows is done elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session, joinedload

from mirada.db import changes
from mirada.db.classifier_models import ClassifiedPicture
from mirada.db.contents import lock_content, release_content
from mirada.db.models import Content, Embedding, Image, utc_now
from mirada.db.pages import newest_first
from mirada.db.stored_vectors import intact
from mirada.db.visibility import may_see_content, visible_images
from mirada.embedding import embed
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import EmbeddingSpace, Vector
from mirada.kernel.errors import NotFound
from mirada.kernel.images import ImageFormat, ImageStatus
from mirada.pictures.register import NewPicture, locked_content


@dataclass(frozen=True, slots=True)
class KnownPicture:
    """A picture whose vector is stored.

    Attributes:
        content_id: the row of the content.
        sha256: of its bytes.
        format: as decoded.
        vector: (d,) float32, unit norm.
    """

    content_id: int
    sha256: str
    format: ImageFormat
    vector: Vector


@dataclass(frozen=True, slots=True)
class Remark:
    """A caller's remarks on a picture, and the computed result.

    Attributes:
        asset_id: the caller's own name for it; None says nothing and keeps an earlier one.
        theme: the purpose of it; None says nothing and keeps an earlier one.
        result: JSON values, what the classification came to.
        job_id: the job that computed it; None for a call that waited.
    """

    asset_id: str | None = None
    theme: str | None = None
    result: dict[str, Any] | None = None
    job_id: int | None = None


def known_pictures(
    session: Session, which: ColumnElement[bool], space_id: int, space: EmbeddingSpace
) -> list[KnownPicture]:
    """Return the pictures whose vectors are stored whole, by content id; a damaged one is not known.

    Args:
        session: for reading.
        which: the condition on `contents`.
        space_id: the row of `space`.
        space: whose vectors are read.
    """
    rows = session.execute(
        select(Content.id, Content.sha256, Content.format, Embedding.vector, Embedding.crc32)
        .join(Embedding, Embedding.content_id == Content.id)
        .where(which, Embedding.space_id == space_id, Embedding.is_deleted.is_(False))
        .order_by(Content.id)
    )
    return [
        KnownPicture(row.id, row.sha256, ImageFormat(row.format), vector)
        for row in rows
        if (vector := intact(row.vector, row.crc32, space.dimension)) is not None
    ]


def known_picture(
    session: Session, sha256: str, space_id: int, space: EmbeddingSpace
) -> KnownPicture | None:
    """Return the picture of these bytes when its vector is stored whole, whoever brought it.

    For a caller who holds the bytes: they learn nothing that encoding them would not tell.
    """
    return next(iter(known_pictures(session, Content.sha256 == sha256, space_id, space)), None)


def picture_of_image(
    session: Session, image_id: int, audience: Audience, space_id: int, space: EmbeddingSpace
) -> KnownPicture | None:
    """Return the picture that an image shows, None while it has no vector.

    Raises:
        NotFound: there is no such image for this audience.
    """
    image = session.execute(
        visible_images(audience).where(Image.id == image_id)
    ).scalar_one_or_none()
    if image is None:
        raise NotFound(f"There is no image {image_id}.")
    # A vector that somebody else's upload brought is not told before this image's own job is done.
    if image.status != ImageStatus.READY:
        return None
    which = Content.id == image.content_id
    return next(iter(known_pictures(session, which, space_id, space)), None)


def remember_sent(
    session: Session,
    picture: NewPicture,
    *,
    owner_id: int,
    space_id: int,
    space: EmbeddingSpace,
    vector: Vector,
    is_encoded_now: bool,
    remark: Remark,
) -> ClassifiedPicture:
    """Remember a picture whose bytes the caller sent; once per caller and picture.

    If somebody has uploaded the same bytes and they still wait for their vector, this is it.

    Args:
        session: a transaction.
        picture: as it was sent, with no key: its bytes are not kept.
        owner_id: the sender.
        space_id: the row of `space`.
        space: of `vector`.
        vector: (d,) float32, unit norm.
        is_encoded_now: the vector was computed from these bytes; written over a damaged one.
        remark: remembered with it.
    """
    content = locked_content(session, picture)
    embed.store_embedding(session, content.id, space_id, space, vector, replace=is_encoded_now)
    return _remember(session, content, owner_id, remark, sent_bytes=True)


def remember_known(
    session: Session,
    picture: KnownPicture,
    *,
    owner_id: int,
    remark: Remark,
    sent_bytes: bool,
) -> ClassifiedPicture:
    """Remember a picture whose vector is stored.

    Args:
        session: a transaction.
        picture: as it was read before.
        owner_id: the one who had it classified.
        remark: remembered with it.
        sent_bytes: they sent it themselves. Otherwise it is remembered as long as they may see an
            image that shows it.

    Raises:
        NotFound: it was deleted meanwhile.
    """
    content = lock_content(session, picture.content_id)
    if content is None:
        raise NotFound("The picture was deleted while it was classified; send it again.")
    return _remember(session, content, owner_id, remark, sent_bytes=sent_bytes)


def get_classified(session: Session, owner_id: int, sha256: str) -> ClassifiedPicture:
    """Return what a user had classified, its content loaded. Raises NotFound."""
    row = session.execute(
        _of_owner(owner_id).where(Content.sha256 == sha256.lower())
    ).scalar_one_or_none()
    if row is None:
        raise NotFound(f"You have had no picture {sha256[:64]} classified.")
    return row


def list_classified(
    session: Session,
    owner_id: int,
    *,
    job_id: int | None = None,
    cursor: int | None = None,
    limit: int = 50,
) -> list[ClassifiedPicture]:
    """Return what a user had classified, newest first, contents loaded.

    Args:
        session: for reading.
        owner_id: whose list it is.
        job_id: only what this job classified.
        cursor: the id of the last one of the page before.
        limit: >= 1.
    """
    query = _of_owner(owner_id)
    if job_id is not None:
        query = query.where(ClassifiedPicture.job_id == job_id)
    return list(session.execute(newest_first(query, ClassifiedPicture.id, cursor, limit)).scalars())


def forget(session: Session, owner_id: int, sha256: str) -> None:
    """Forget what a user had classified, and its vector unless somebody else has a right to it.

    Raises:
        NotFound: they have had no such picture classified.
    """
    content_id = get_classified(session, owner_id, sha256).content_id
    content = lock_content(session, content_id)
    # Read again under the lock: the last image may have taken it along.
    row = get_classified(session, owner_id, sha256)
    assert content is not None
    session.delete(row)
    session.flush()
    changes.touch(session, [content_id])
    release_content(session, content)


def _remember(
    session: Session, content: Content, owner_id: int, remark: Remark, *, sent_bytes: bool
) -> ClassifiedPicture:
    """Write the row; the content is locked, so the same caller's other requests take turns."""
    row = session.execute(
        select(ClassifiedPicture).where(
            ClassifiedPicture.owner_id == owner_id, ClassifiedPicture.content_id == content.id
        )
    ).scalar_one_or_none()
    if row is None:
        row = ClassifiedPicture(owner_id=owner_id, content=content, sent_bytes=False)
        session.add(row)
    if sent_bytes and not row.sent_bytes:
        # From now on this caller's searches may find it.
        row.sent_bytes = True
        changes.touch(session, [content.id])
    row.asset_id = remark.asset_id if remark.asset_id is not None else row.asset_id
    row.theme = remark.theme if remark.theme is not None else row.theme
    row.result = remark.result
    label = label_of(remark.result)
    if label != row.label:
        changes.note(session)
        row.label = label
    row.job_id = remark.job_id
    row.updated_at = utc_now()
    session.flush()
    return row


def label_of(result: Mapping[str, Any] | None) -> str | None:
    """Return the label that a result came to; None where no label fits."""
    if result is None or result["none_of_these"]:
        return None
    return str(result["category"])


def _of_owner(owner_id: int) -> Select[ClassifiedPicture]:
    # What was classified by its image id is theirs only while they may see such an image.
    return (
        select(ClassifiedPicture)
        .join(Content, Content.id == ClassifiedPicture.content_id)
        .where(
            ClassifiedPicture.owner_id == owner_id, may_see_content(Audience(owner_id), Content.id)
        )
        .options(joinedload(ClassifiedPicture.content))
        .execution_options(populate_existing=True)
    )
