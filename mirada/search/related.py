"""Find images related to a stored one, by its picture and its prompt together.

Two rankings are read as far as the threshold algorithm needs until the k best are settled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy.orm import Session

from mirada.db import spaces
from mirada.db.changes import current_seq
from mirada.db.models import Image
from mirada.db.stored_vectors import vectors_of
from mirada.db.vector_tables import subjects_of, table_of
from mirada.embedding.interactive import SWITCHED_OFF
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import SpaceKind, Vector
from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import ImageStatus
from mirada.kernel.similarity import cosines
from mirada.pictures.images import get_image
from mirada.pictures.shown_images import ShownImage
from mirada.ports import VectorIndex, single
from mirada.runtime import Runtime
from mirada.search.asked import Asked
from mirada.search.blending import Ranked, blended, is_settled
from mirada.search.by_vector import authorised, loaded
from mirada.search.deepening import Reading, deepen
from mirada.search.found import NOTHING_FOUND, Hit, Judged, judged_by
from mirada.search.queries import Query, QueryKind
from mirada.search.related_relevance import relevances_of_related
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
    """One result: an image as the viewer is shown it, and its place, whose similarity is blended."""

    image: ShownImage
    hit: Hit

    @property
    def similarity(self) -> float:
        """The blended cosine, in [-1, 1]."""
        return self.hit.similarity or 0.0


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
        cursor: of the next page; None where there is none, or nobody pages.
        ranked_count: how many images are ranked for all pages together; None while that is not known.
        judged: the judgement of all that was ranked.
    """

    results: list[RelatedImage] = field(default_factory=list)
    blend: float = 0.0
    reason: str | None = None
    cursor: str | None = None
    ranked_count: int | None = None
    judged: Judged = NOTHING_FOUND


@dataclass(frozen=True, slots=True)
class RelatedRequest:
    """One search for what is related to a stored image.

    Attributes:
        image_id: the image; never a result.
        asked: who asks, and how fresh the answer has to be.
        k: most results, >= 1.
        blend: weight of the prompts in [0, 1].
    """

    image_id: int
    asked: Asked
    k: int
    blend: float = DEFAULT_BLEND

    @property
    def scope(self) -> Scope:
        """The images that are searched."""
        return self.asked.scope.without(self.image_id)


@dataclass(frozen=True, slots=True)
class Pairs:
    """A ranking of images related to one, without the images.

    Attributes:
        hits: best first; their similarity is the blended cosine.
        blend: as `Related` has it.
        reason: why nothing could be ranked; None where something could.
    """

    hits: list[Hit]
    blend: float = 0.0
    reason: str | None = None


def related_images(runtime: Runtime, request: RelatedRequest) -> Related:
    """Return the k images most like one among those that may be seen; raises as `rank_related` does."""
    ranked = rank_related(runtime, request, request.k)
    with runtime.reading() as session:
        pairs = [(hit.image_id, hit) for hit in ranked.hits]
        found = [RelatedImage(*pair) for pair in loaded(session, pairs, request.scope)]
    few = None if len(found) == request.k else ranked.reason or all_there_are(request.scope)
    return Related(found, ranked.blend, few, judged=judged_by(ranked.hits))


def rank_related(runtime: Runtime, request: RelatedRequest, k: int) -> Pairs:
    """Return the k images most like one among those that may be seen; none while it has no vector.

    Raises:
        NotFound: there is no such image for this audience.
        Conflict: the change number was never given.
        Unavailable: an index or the encoder is not ready.
    """
    asked, blend = request.asked, request.blend
    with runtime.reading() as session:
        image = get_image(session, request.image_id, asked.audience.whole())
        if not runtime.settings.embeddings_enabled:
            return Pairs([], reason=SWITCHED_OFF)
        picture = own_query(session, image, SpaceKind.IMAGE)
        prompt = own_query(session, image, SpaceKind.PROMPT) if blend > 0.0 else None
    if picture is None:
        is_failed = image.status == ImageStatus.FAILED
        told = "could not be embedded" if is_failed else f"is {image.status} and has no vector yet"
        return Pairs([], reason=f"Image {request.image_id} {told}.")
    aspects = [
        Aspect(query, asked.fresh_index(runtime, query.space_id))
        for query in (picture, prompt)
        if query is not None
    ]
    safety = safety_in_force(runtime)
    with runtime.reading() as session:
        scored = find_related(
            session, *aspects, scope=request.scope, k=k, blend=blend, safety=safety
        )
    blend = blend if len(aspects) > 1 else 0.0
    asked_of = [(each.query, each.index) for each in aspects]
    scores = [score for _, score in scored]
    relevance = relevances_of_related(runtime, asked_of, request.scope, scores, blend)
    hits = zip(scored, relevance.tolist(), strict=True)
    return Pairs([Hit(*pair, each) for pair, each in hits], blend)


def all_there_are(scope: Scope) -> str:
    """Return the sentence on a list that is shorter than was asked for."""
    meet = "" if scope.filter.is_everything else " and that meet every condition of the filter"
    return f"These are all there are that you may see{meet}."


def own_query(session: Session, image: Image, kind: SpaceKind) -> Query | None:
    """Return an image's picture or prompt as a query, None while it has no vector."""
    space = spaces.pinned_space(session, kind)
    if space is None or image.status != ImageStatus.READY:
        return None
    vector = _vectors_of(session, kind, space.id, [image.id]).get(image.id)
    if vector is None:
        return None
    return Query(vector, space.id, space.to_space(), QueryKind.IMAGE_ID)


def find_related(
    session: Session,
    picture: Aspect,
    prompt: Aspect | None = None,
    *,
    scope: Scope,
    k: int,
    blend: float = DEFAULT_BLEND,
    safety: Safety | None = None,
) -> list[tuple[int, float]]:
    """Return the ids and scores of the k images most like one, best first, ties by id, in scope.

    The score is the mean of the cosines of the pictures and of the prompts, weighted. An image
    without a prompt counts as one with an ordinary prompt: the median of a sample's cosines.
    Exact up to SCAN_ROWS permitted vectors and MAX_DEPTH rows; above, as exact as the indexes.

    Args:
        session: for reading.
        picture: the image's picture.
        prompt: its prompt; None compares pictures alone.
        scope: the viewer and what they ask to see; the image itself is left out.
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
    second = prompt if blend > 0.0 else None
    weight = 0.0 if second is None else blend

    def read(depth: int) -> Reading[list[tuple[int, float]]]:
        pictures, by_picture = _read(session, picture, depth, scope, safety)
        prompts, by_prompt = Ranked(-1.0, True, 0.0), dict[int, float]()
        if second is not None:
            prompts, by_prompt = _read(session, second, depth, scope, safety)
            _fill_in(session, picture, by_picture, by_prompt)
            _fill_in(session, second, by_prompt, by_picture)
        scores = (
            (image, blended(cosine, by_prompt.get(image, prompts.neutral), weight))
            for image, cosine in by_picture.items()
        )
        scored = sorted(scores, key=lambda pair: (-pair[1], pair[0]))
        kth_score = scored[k - 1][1] if len(scored) >= k else None
        return Reading(scored[:k], is_settled(kth_score, pictures, prompts, weight), not scored)

    def confirm() -> None:
        for aspect in filter(None, (picture, prompt)):
            aspect.index.wait_for(current_seq(session))

    depth = max(FIRST_DEPTH, DEEPER * k)
    return deepen(read, depth, factor=DEEPER, most=MAX_DEPTH, confirm=confirm)


def _read(
    session: Session, aspect: Aspect, depth: int, scope: Scope, safety: Safety | None
) -> tuple[Ranked, dict[int, float]]:
    """Return what the first rows of a ranking say, and the cosine of every image they show."""
    answer = aspect.index.search(single(aspect.query.vector), depth, scope, scan_rows=SCAN_ROWS)[0]
    neutral = float(np.median(answer.background)) if answer.background.size else 0.0
    is_exhausted = len(answer.matches) < depth
    lowest = answer.matches[-1].similarity if answer.matches else -1.0
    pairs = authorised(
        session,
        answer.matches,
        table_of(aspect.query.space.kind),
        scope,
        at_most_each=IMAGES_PER_VECTOR,
        safety=safety,
    )
    found = {image_id: match.similarity for image_id, match in pairs}
    return Ranked(lowest, is_exhausted, neutral), found


def _fill_in(
    session: Session,
    aspect: Aspect,
    known: dict[int, float],
    image_ids: Iterable[int],
) -> None:
    """Add the cosines of images that only the other ranking showed; none for one without a vector."""
    missing = [image_id for image_id in image_ids if image_id not in known]
    vectors = _vectors_of(session, aspect.query.space.kind, aspect.query.space_id, missing)
    if vectors:
        found = cosines(np.stack(list(vectors.values())), aspect.query.vector)
        known |= {image_id: float(cosine) for image_id, cosine in zip(vectors, found, strict=True)}


def _vectors_of(
    session: Session, kind: SpaceKind, space_id: int, image_ids: Iterable[int]
) -> dict[int, Vector]:
    """Return the vectors of images by their ids; one that is damaged counts as none."""
    table = table_of(kind)
    subject_of = subjects_of(session, table, image_ids)
    found = vectors_of(session, table, space_id, subject_of.values())
    return {i: found[subject] for i, subject in subject_of.items() if subject in found}
