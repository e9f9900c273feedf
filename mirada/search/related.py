"""Find images related to a stored one, by its picture and its prompt together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db import spaces
from mirada.db.changes import current_seq
from mirada.db.chunks import rows_in
from mirada.db.models import Image
from mirada.db.stored_vectors import vectors_of
from mirada.db.vector_tables import VectorTable, table_of
from mirada.embedding.interactive import SWITCHED_OFF
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import SpaceKind, Vector
from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import ImageStatus
from mirada.kernel.similarity import cosines
from mirada.pictures.images import get_image
from mirada.ports import VectorIndex, single
from mirada.runtime import Runtime
from mirada.search.asked import Asked
from mirada.search.blending import Blend, Ranked
from mirada.search.by_vector import authorised, loaded
from mirada.search.deepening import Reading, deepen
from mirada.search.queries import Query, QueryKind
from mirada.search.safety import Safety, safety_in_force

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
        query: the image's own vector and its space.
        index: of the space.
    """

    query: Query
    index: VectorIndex


@dataclass(frozen=True, slots=True)
class Related:
    """The images related to one.

    Attributes:
        results: best first.
        blend: the weight of the prompts that was in force: 0 where the image has none.
        reason: why there are no results or fewer than asked; None when there are enough.
    """

    results: list[RelatedImage] = field(default_factory=list)
    blend: float = 0.0
    reason: str | None = None


def related_images(
    runtime: Runtime, image_id: int, asked: Asked, *, k: int, blend: float = DEFAULT_BLEND
) -> Related:
    """Return the k images most like one among those that may be seen; none while it has no vector.

    Raises:
        NotFound: there is no such image for this audience.
        Conflict: the change number was never given.
        Unavailable: an index or the encoder is not ready.
    """
    with runtime.reading() as session:
        image = get_image(session, image_id, asked.audience.whole())
        if not runtime.settings.embeddings_enabled:
            return Related(reason=SWITCHED_OFF)
        picture, prompt = own_queries(session, image)
    if picture is None:
        is_failed = image.status == ImageStatus.FAILED
        return Related(
            reason=f"Image {image_id} could not be embedded."
            if is_failed
            else f"Image {image_id} is {image.status} and has no vector yet."
        )
    aspects = [
        Aspect(query, asked.fresh_index(runtime, query.space_id))
        for query in (picture, prompt if blend > 0.0 else None)
        if query is not None
    ]
    safety = safety_in_force(runtime)
    audience = asked.audience.without(image_id)
    with runtime.reading() as session:
        found = find_related(session, *aspects, audience=audience, k=k, blend=blend, safety=safety)
    few = None if len(found) == k else "These are all there are that you may see."
    return Related(found, blend if len(aspects) > 1 else 0.0, few)


def own_queries(session: Session, image: Image) -> tuple[Query | None, Query | None]:
    """Return an image's picture and prompt as queries, None for one without a vector (yet)."""
    return (
        _own_query(session, image, SpaceKind.IMAGE),
        _own_query(session, image, SpaceKind.PROMPT),
    )


def _own_query(session: Session, image: Image, kind: SpaceKind) -> Query | None:
    space = spaces.pinned_space(session, kind)
    if space is None or image.status != ImageStatus.READY:
        return None
    vector = _vectors_of(session, table_of(kind), space.id, [image.id]).get(image.id)
    if vector is None:
        return None
    return Query(vector, space.id, space.to_space(), QueryKind.IMAGE_ID)


def find_related(
    session: Session,
    picture: Aspect,
    prompt: Aspect | None = None,
    *,
    audience: Audience,
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
        prompt: its prompt; None compares pictures alone.
        audience: the viewer; the image itself is left out.
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
            _fill_in(session, picture, by_picture, by_prompt)
            _fill_in(session, second, by_prompt, by_picture)
        scores = (
            (image, weights.score(cosine, by_prompt.get(image, prompts.neutral)))
            for image, cosine in by_picture.items()
        )
        scored = sorted(scores, key=lambda pair: (-pair[1], pair[0]))
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
    answer = aspect.index.search(single(aspect.query.vector), depth, audience, scan_rows=SCAN_ROWS)[
        0
    ]
    neutral = float(np.median(answer.background)) if answer.background.size else 0.0
    is_exhausted = len(answer.matches) < depth
    lowest = answer.matches[-1].similarity if answer.matches else -1.0
    pairs = authorised(
        session,
        answer.matches,
        table_of(aspect.query.space.kind),
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
    space_id, space = aspect.query.space_id, aspect.query.space
    vectors = _vectors_of(session, table_of(space.kind), space_id, missing)
    if vectors:
        found = cosines(np.stack(list(vectors.values())), aspect.query.vector)
        known |= {image_id: float(cosine) for image_id, cosine in zip(vectors, found, strict=True)}


def _vectors_of(
    session: Session, table: VectorTable, space_id: int, image_ids: Collection[int]
) -> dict[int, Vector]:
    """Return the vectors of images by their ids; one that is damaged counts as none."""
    # Two statements, for joined in one SQLite reads every vector of the space.
    shown = select(Image.id, table.shown_by).where(table.is_through, table.shown_by.is_not(None))
    subject_of: dict[int, int] = dict(rows_in(session, shown, Image.id, image_ids))
    found = vectors_of(session, table, space_id, subject_of.values())
    return {i: found[subject] for i, subject in subject_of.items() if subject in found}
