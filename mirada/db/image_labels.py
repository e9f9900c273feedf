"""The labels of images as the model alone sees them: kept for each image, and which images lack them.

They are kept by image and not by content: an image is judged when its own picture comes in. So nothing
about its labels, not even their time, tells whether somebody else has the same bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Select, and_, delete, func, or_, select
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.chunks import rows_in
from mirada.db.classifier_models import ImageLabels
from mirada.db.inserts import insert_or_update
from mirada.db.models import Embedding, Image, utc_now
from mirada.db.session import count_changed
from mirada.db.visibility import may_see
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import BLOB_DTYPE
from mirada.kernel.images import ImageStatus
from mirada.kernel.similarity import Floats


class JudgedBy(NamedTuple):
    """The criteria that labels were judged by: the space of the vectors, and their digest."""

    space_id: int
    digest: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A picture as the model alone sees it.

    Attributes:
        label: the best label; None where no label applies.
        score: its probability, in [0, 1].
        logits: (n,) in the labels' order; (0,) where the vector is damaged.
        is_far: no label is nearer than unrelated texts.
        nsfw_score: in [0, 1]; None where that is switched off.
    """

    label: str | None
    score: float
    logits: Floats
    is_far: bool
    nsfw_score: float | None


def keep(session: Session, by: JudgedBy, judged: Mapping[int, Judged]) -> int:
    """Write the labels of all images of these contents that lack them, and return of how many.

    Running it twice changes nothing: what an image has by these criteria stays as it is.

    Args:
        session: a transaction. Lock the contents first where their images may change.
        by: what they were judged by.
        judged: by content id.
    """
    images = select(Image.id, Image.content_id).outerjoin(ImageLabels, _labels_in(by.space_id))
    images = images.where(_is_lacking(by))
    found = rows_in(session, images, Image.content_id, judged)
    return _write(session, by, {row.id: judged[row.content_id] for row in found})


def keep_each(session: Session, by: JudgedBy, judged: Mapping[int, Judged]) -> int:
    """Write the labels of these images, by image id, and return of how many; the deleted are left out."""
    there = select(Image.id).with_for_update(read=True)
    found = [row.id for row in rows_in(session, there, Image.id, judged)]
    return _write(session, by, {image_id: judged[image_id] for image_id in found})


def _write(session: Session, by: JudgedBy, judged: Mapping[int, Judged]) -> int:
    now = utc_now()
    rows = [
        {
            "image_id": image_id,
            "space_id": by.space_id,
            "judged_by": by.digest,
            "label": found.label,
            "score": found.score,
            "logits": found.logits.astype(BLOB_DTYPE).tobytes(),
            "is_far": found.is_far,
            "nsfw_score": found.nsfw_score,
            "computed_at": now,
        }
        # One order for everybody: two that write the same images must not lock each other out.
        for image_id, found in sorted(judged.items())
    ]
    if rows:
        table = ImageLabels
        updated = [column for column in table.__table__.c if not column.primary_key]
        unique = [table.image_id, table.space_id]
        session.execute(insert_or_update(session, table, unique, updated), rows)
        changes.note(session)
    return len(rows)


def lacking(by: JudgedBy) -> Select[int, int]:
    """Return the query for (image id, content id) of READY images with a vector that lack labels."""
    return (
        select(Image.id, Image.content_id)
        .join(Embedding, _vector_in(by.space_id))
        .outerjoin(ImageLabels, _labels_in(by.space_id))
        .where(Image.status == ImageStatus.READY, _is_lacking(by))
    )


def count_lacking(session: Session, by: JudgedBy) -> int:
    """Return how many images `lacking` finds."""
    found = lacking(by).subquery()
    return session.execute(select(func.count()).select_from(found)).scalar_one()


def of_image(session: Session, image_id: int, by: JudgedBy) -> ImageLabels | None:
    """Return an image's labels by these criteria, None while it has none."""
    row = session.get(ImageLabels, (image_id, by.space_id))
    return row if row is not None and row.judged_by == by.digest else None


def logits_of(row: ImageLabels) -> Floats:
    """Return the (n,) float64 logits of a row; (0,) where the vector was damaged."""
    return np.frombuffer(row.logits, BLOB_DTYPE).astype(np.float64)


def copy_seen(session: Session, image: Image) -> None:
    """Give a new image, whose owner sees others of the same picture, the labels that those have.

    Nothing is copied from what the owner does not see.
    """
    seen = (
        select(ImageLabels)
        .join(Image, Image.id == ImageLabels.image_id)
        .where(
            Image.content_id == image.content_id,
            Image.id != image.id,
            Image.status == ImageStatus.READY,
            may_see(Audience(image.owner_id)),
        )
        .order_by(ImageLabels.computed_at)
    )
    newest: dict[int, ImageLabels] = {row.space_id: row for row in session.execute(seen).scalars()}
    columns = [column.key for column in ImageLabels.__table__.c if column.key != "image_id"]
    for row in newest.values():
        same: dict[str, Any] = {name: getattr(row, name) for name in columns}
        session.add(ImageLabels(image_id=image.id, **same))
    session.flush()


def forget(session: Session, content_ids: Collection[int], space_id: int) -> None:
    """Delete the labels of these contents' images in a space, because their vectors are replaced."""
    images = select(Image.id).where(Image.content_id.in_(content_ids))
    session.execute(
        delete(ImageLabels)
        .where(ImageLabels.space_id == space_id, ImageLabels.image_id.in_(images))
        .execution_options(synchronize_session=False)
    )


def remove_some(session: Session, space_id: int, at_most: int) -> int:
    """Delete up to so many rows of a space, and return how many there were."""
    table = ImageLabels
    found = select(table.image_id).where(table.space_id == space_id).limit(at_most)
    ids = list(session.execute(found).scalars())
    if not ids:
        return 0
    these = and_(table.space_id == space_id, table.image_id.in_(ids))
    return count_changed(session, delete(table).where(these))


def _labels_in(space_id: int) -> Any:
    return and_(ImageLabels.image_id == Image.id, ImageLabels.space_id == space_id)


def _vector_in(space_id: int) -> Any:
    return and_(
        Embedding.content_id == Image.content_id,
        Embedding.space_id == space_id,
        Embedding.is_deleted.is_(False),
    )


def _is_lacking(by: JudgedBy) -> Any:
    return or_(ImageLabels.image_id.is_(None), ImageLabels.judged_by != by.digest)
