"""Second vectors of pictures that come in while the image model is being changed.

The job that embeds a picture encodes it with the other model as well and writes both vectors in one
transaction. So nothing is missing in either space when the model changes, or changes back.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.contents import lock_content
from mirada.db.models import Embedding
from mirada.kernel import model_view
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind, Vector, to_blob
from mirada.kernel.errors import InvalidInput, MiradaError
from mirada.kernel.images import RgbImage
from mirada.kernel.model_view import ModelView
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)
SPARE = "spare_view"
"""The port that holds the views beside the process's own in which pictures get vectors, if any."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """Vectors of some pictures in a space that they were not embedded for.

    Attributes:
        space_id: the row of `space`.
        space: of the vectors.
        vectors: (n, d) float32 unit rows, in the order of the pictures.
    """

    space_id: int
    space: EmbeddingSpace
    vectors: Matrix


def mirror_in(runtime: Runtime, views: Sequence[ModelView]) -> None:
    """Have every picture that comes in get vectors in these views too, as far as it has none there."""
    runtime.remember(SPARE, tuple(views))


def _other(runtime: Runtime) -> ModelView | None:
    views: tuple[ModelView, ...] = runtime.built().get(SPARE, ())
    return next((view for view in views if view.suffix != runtime.view.suffix), None)


def input_side_px(runtime: Runtime) -> int:
    """Return the side of the larger network's input, by which pictures are decoded."""
    own = runtime.encoder.input_side_px
    other = _other(runtime)
    if other is None:
        return own
    with model_view.working_in(other):
        return max(own, runtime.encoder.input_side_px)


def vectors_of(runtime: Runtime, pictures: Sequence[RgbImage]) -> Mirrored | None:
    """Return the second vectors of pictures; None where no change is on, or the other encoder fails.

    What fails here is embedded by the change itself, so no picture waits for it.
    """
    other = _other(runtime)
    if other is None or not pictures:
        return None
    try:
        with model_view.working_in(other):
            space_id, space = runtime.space()
            return Mirrored(space_id, space, runtime.encoder.encode_images(pictures))
    except MiradaError as error:
        logger.warning("Pictures have no second vector yet: %s", error)
        return None


def store(session: Session, content_id: int, mirrored: Mirrored | None, row: int = 0) -> None:
    """Write one picture's second vector, where there is one and the content has none yet."""
    if mirrored is not None:
        store_beside(session, content_id, mirrored.space_id, mirrored.space, mirrored.vectors[row])


def store_beside(
    session: Session, content_id: int, space_id: int, space: EmbeddingSpace, vector: Vector
) -> bool:
    """Write a content's vector in a space that is not in use; return whether it had none.

    Its images stay as they are. A content deleted meanwhile is left deleted.

    Raises:
        InvalidInput: the vector is not of the space's dimension, not finite or not of unit norm.
    """
    if vector.shape != (space.dimension,):
        raise InvalidInput(
            f"A vector of {space.name} has {space.dimension} numbers, not {vector.shape}."
        )
    if lock_content(session, content_id) is None:
        return False
    known = select(Embedding.id).where(
        Embedding.space_id == space_id, Embedding.content_id == content_id
    )
    if session.execute(known).first() is not None:
        return False
    blob, crc32 = to_blob(vector)
    session.add(Embedding(space_id=space_id, content_id=content_id, vector=blob, crc32=crc32))
    session.flush()
    changes.touch_beside(session, space_id, SpaceKind.IMAGE, [content_id])
    return True
