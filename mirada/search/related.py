"""Find images like a stored one, by its picture and its prompt together."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.changes import IN_LIST_ROWS, current_seq
from mirada.db.memory_models import TextEmbedding
from mirada.db.models import Embedding, Image
from mirada.db.vector_tables import PICTURES, PROMPTS, VectorTable, table_of
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import BLOB_DTYPE, SpaceKind, Vector, from_blob
from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import ImageStatus
from mirada.kernel.similarity import cosines
from mirada.ports import VectorIndex, single
from mirada.search.blending import Blend, Ranked
from mirada.search.by_vector import authorised, loaded
from mirada.search.deepening import Reading, deepen
from mirada.search.safety import Safety

DEFAULT_BLEND = 0.5
FIRST_DEPTH = 64
"""Rows read of each ranking at first: 12 results of lists that agree are among them."""
DEEPER = 4
MAX_DEPTH = 8_192
"""Two unrelated rankings of n images settle for k results after about sqrt(n k) rows (Fagin et al.,
section 4), 3,500 of a million; past this depth the best that was read is the answer."""
SCAN_ROWS = 100_000
"""Up to so many permitted vectors the rankings are exact: about 17 ms for 512-d on one core."""
IMAGES_PER_VECTOR = 2_000
"""Of one prompt that thousands of pictures were made from, so many are looked at."""


@dataclass(frozen=True, slots=True)
class RelatedImage:
    """One result: an image the viewer may see, and its blended cosine in [-1, 1]."""

    image: Image
    similarity: float


@dataclass(frozen=True, slots=True)
class Aspect:
    """One of the two ways in which images are alike.

    Attributes:
        index: of the space.
        space_id: the row of the space.
        kind: of the space.
        query: (d,) float32, unit norm: the image's own vector.
    """

    index: VectorIndex
    space_id: int
    kind: SpaceKind
    query: Vector


def own_vectors(
    session: Session, image: Image, image_space_id: int, prompt_space_id: int | None
) -> tuple[Vector | None, Vector | None]:
    """Return the vectors of an image's picture and prompt, None for one that there is not (yet)."""
    if image.status != ImageStatus.READY:
        return None, None
    picture = _vectors_of(session, PICTURES, image_space_id, [image.id])
    prompt: dict[int, Vector] = {}
    if prompt_space_id is not None:
        prompt = _vectors_of(session, PROMPTS, prompt_space_id, [image.id])
    return picture.get(image.id), prompt.get(image.id)


def find_related(
    session: Session,
    picture: Aspect,
    prompt: Aspect | None,
    audience: Audience,
    *,
    k: int,
    blend: float = DEFAULT_BLEND,
    safety: Safety | None = None,
) -> list[RelatedImage]:
    """Return the k images most like one, best first, ties by id, among those the audience may see.

    The score is the mean of the cosines of the pictures and of the prompts, weighted. An image
    without a prompt counts as one with an ordinary prompt: the median of a sample's cosines.
    Exact up to SCAN_ROWS permitted vectors and MAX_DEPTH rows; above, as exact as the indexes.

    Args:
        session: for reading.
        picture: the image's picture.
        prompt: its prompt; None where it has none: then pictures are compared alone.
        audience: who asks; the image itself is left out.
        k: >= 1.
        blend: weight of the prompt in [0, 1].
        safety: when not None, others' images that it calls unsafe are no results.

    Raises:
        InvalidInput: `blend` is out of range, or a vector does not fit its index.
    """
    if not 0.0 <= blend <= 1.0:
        raise InvalidInput(
            "blend must be between 0 and 1.", fields={"blend": ["Must be between 0 and 1."]}
        )
    weights = Blend(blend if prompt is not None else 0.0)
    second = prompt if weights.prompt_weight > 0.0 else None

    def read(depth: int) -> Reading[list[tuple[int, float]]]:
        pictures, by_picture = _read(session, picture, depth, audience, safety)
        prompts, by_prompt = Ranked(-1.0, True, 0.0), dict[int, float]()
        if second is not None:
            prompts, by_prompt = _read(session, second, depth, audience, safety)
        found = by_picture.keys() | by_prompt.keys()
        _fill_in(session, picture, by_picture, found)
        if second is not None:
            _fill_in(session, second, by_prompt, found)
        scored = sorted(
            (
                (image, weights.score(by_picture[image], by_prompt.get(image, prompts.neutral)))
                for image in found & by_picture.keys()
            ),
            key=lambda pair: (-pair[1], pair[0]),
        )
        kth_score = scored[k - 1][1] if len(scored) >= k else None
        is_settled = weights.is_settled(kth_score, pictures, prompts)
        return Reading(scored[:k], is_settled, not scored)

    def confirm() -> None:
        for aspect in filter(None, (picture, prompt)):
            aspect.index.wait_for(current_seq(session))

    depth = max(FIRST_DEPTH, DEEPER * k)
    best = deepen(read, depth, factor=DEEPER, most=MAX_DEPTH, confirm=confirm)
    return [RelatedImage(image, score) for image, score in loaded(session, best, audience)]


def _read(
    session: Session, aspect: Aspect, depth: int, audience: Audience, safety: Safety | None
) -> tuple[Ranked, dict[int, float]]:
    """Return what the first rows of a ranking say, and the cosine of every image they show."""
    answer = aspect.index.search(single(aspect.query), depth, audience, scan_rows=SCAN_ROWS)[0]
    neutral = float(np.median(answer.background)) if answer.background.size else 0.0
    is_exhausted = len(answer.matches) < depth
    lowest = answer.matches[-1].similarity if answer.matches else -1.0
    pairs = authorised(
        session,
        answer.matches,
        table_of(aspect.kind),
        audience,
        at_most_each=IMAGES_PER_VECTOR,
        safety=safety,
    )
    found = {image_id: match.similarity for image_id, match in pairs}
    return Ranked(lowest, is_exhausted, neutral), found


def _fill_in(
    session: Session,
    aspect: Aspect,
    known: dict[int, float],
    image_ids: Collection[int],
) -> None:
    """Add the cosines of images that only the other ranking showed; none for one without a vector."""
    missing = [image_id for image_id in image_ids if image_id not in known]
    vectors = _vectors_of(session, table_of(aspect.kind), aspect.space_id, missing)
    if vectors:
        found = cosines(np.stack(list(vectors.values())), aspect.query)
        known |= {image_id: float(cosine) for image_id, cosine in zip(vectors, found, strict=True)}


def _vectors_of(
    session: Session, table: VectorTable, space_id: int, image_ids: Collection[int]
) -> dict[int, Vector]:
    """Return the vectors of images by their ids; one that is damaged counts as none."""
    ids = sorted(image_ids)
    row: type[Embedding] | type[TextEmbedding] = table.entity
    vectors: dict[int, Vector] = {}
    for start in range(0, len(ids), IN_LIST_ROWS):
        chunk = ids[start : start + IN_LIST_ROWS]
        # Two statements, for joined in one SQLite reads every vector of the space.
        subject_of = {
            image_id: subject_id
            for image_id, subject_id in session.execute(
                select(Image.id, table.shown_by).where(Image.id.in_(chunk), table.is_through)
            )
            if subject_id is not None
        }
        query = select(table.subject, row.vector, row.crc32).where(
            row.space_id == space_id,
            table.subject.in_(set(subject_of.values())),
            row.is_deleted.is_(False),
        )
        found: dict[int, Vector] = {}
        for subject_id, blob, crc32 in session.execute(query):
            with suppress(InvalidInput):
                found[subject_id] = from_blob(blob, crc32, len(blob) // BLOB_DTYPE.itemsize)
        vectors |= {i: found[subject] for i, subject in subject_of.items() if subject in found}
    return vectors
