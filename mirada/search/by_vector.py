"""Find the images nearest to a vector, by their pictures, prompts or captions.

The index proposes, the database decides who may see the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, joinedload

from mirada.db.chunks import chunks, rows_in
from mirada.db.models import Image
from mirada.db.vector_tables import VectorTable, table_of
from mirada.db.visibility import may_see, visible_images
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import SpaceKind, Vector
from mirada.kernel.errors import InvalidInput
from mirada.kernel.similarity import Match, Verdict, relevances, verdict
from mirada.metrics.instruments import SEARCHES
from mirada.ports import SearchAnswer, VectorIndex
from mirada.runtime import Runtime
from mirada.search.asked import Asked
from mirada.search.deepening import nearest
from mirada.search.queries import SOURCE_OF_KIND, Query
from mirada.search.safety import Safety, safety_in_force

Score = TypeVar("Score")
MAX_K = 1000
"""Most results of one search: a reply of 1,000 images is about half a megabyte."""


@dataclass(frozen=True, slots=True)
class FoundImage:
    """One result: an image the viewer may see.

    Attributes:
        image: with its content and owner loaded.
        similarity: cosine in [-1, 1], higher is nearer.
        relevance: in [0, 1], against this query's own background; see `kernel.similarity`.
    """

    image: Image
    similarity: float
    relevance: float


@dataclass(frozen=True, slots=True)
class Found:
    """The results of one search, best first, ties by image id, and how they came about.

    Attributes:
        results: at most k.
        verdict: whether anything found stands out from the query's background.
        way: how the index computed the answer.
        permitted_count: how many vectors the viewer's search ran over.
        change_seq: the state of the database the answer reflects.
        reason: why there are fewer than k results; None when there are k.
    """

    results: list[FoundImage]
    verdict: Verdict
    way: str
    permitted_count: int
    change_seq: int
    reason: str | None


def search(
    runtime: Runtime, query: Query, asked: Asked, *, k: int, threshold: float | None = None
) -> Found:
    """Return the images nearest to a query in its space, as fresh as asked for; see `find`.

    Raises:
        InvalidInput: k is out of range.
        Conflict: the change number was never given, or nothing can be judged for NSFW_POLICY=hide.
        Unavailable: the index or an encoder is not ready.
    """
    index = asked.fresh_index(runtime, query.space_id)
    safety = safety_in_force(runtime)
    with runtime.reading() as session:
        found = find(
            session,
            index,
            query.vector,
            asked.audience,
            k=k,
            threshold=threshold,
            safety=safety,
            kind=query.space.kind,
        )
    source = SOURCE_OF_KIND[query.space.kind]
    SEARCHES.labels(query.made_from, source, found.way, found.verdict).inc()
    return found


def find(
    session: Session,
    index: VectorIndex,
    query: Vector,
    audience: Audience,
    *,
    k: int,
    threshold: float | None = None,
    safety: Safety | None = None,
    kind: SpaceKind = SpaceKind.IMAGE,
) -> Found:
    """Return the k images nearest to a vector among those the audience may see.

    The index ranks only permitted vectors. Every image is authorised again here, in SQL, so one that
    was deleted or made private a moment ago never appears.

    Args:
        session: for reading.
        index: of the query's space.
        query: (d,) float32, unit norm.
        audience: the viewer and what is kept from them.
        k: 1 to MAX_K.
        threshold: least cosine similarity of a result; None for no cut.
        safety: when not None, others' images that it calls unsafe are no results.
        kind: of the index's space.

    Raises:
        InvalidInput: k is out of range, or the vector does not fit the index.
    """
    if not 1 <= k <= MAX_K:
        raise InvalidInput(
            f"The number of results must be between 1 and {MAX_K}.",
            fields={"limit": [f"Must be between 1 and {MAX_K}."]},
        )
    pairs, answer = ranked(
        session, index, query, audience, k=k, threshold=threshold, safety=safety, kind=kind
    )
    images = loaded(session, pairs, audience)
    scores = [match.similarity for _, match in images]
    standing = relevances(scores, answer.background, answer.permitted_count)
    results = [
        FoundImage(image, match.similarity, float(relevance))
        for (image, match), relevance in zip(images, standing, strict=True)
    ]
    return Found(
        results=results,
        verdict=verdict(found.relevance for found in results),
        way=answer.way,
        permitted_count=answer.permitted_count,
        change_seq=answer.change_seq,
        reason=None if len(results) == k else _reason(answer, len(results), threshold, kind),
    )


def ranked(
    session: Session,
    index: VectorIndex,
    query: Vector,
    audience: Audience,
    *,
    k: int,
    threshold: float | None,
    safety: Safety | None,
    kind: SpaceKind,
) -> tuple[list[tuple[int, Match]], SearchAnswer]:
    """Return the ids of what `find` finds, with their vectors' matches, and the index's answer."""
    table = table_of(kind)
    return nearest(
        session,
        index,
        query,
        audience,
        k=k,
        threshold=threshold,
        shown=lambda near: authorised(
            session, near, table, audience, at_most_each=k, safety=safety
        ),
        spare=len(audience.left_out_ids),
    )


def authorised(
    session: Session,
    matches: Sequence[Match],
    table: VectorTable,
    audience: Audience,
    *,
    at_most_each: int,
    safety: Safety | None,
) -> list[tuple[int, Match]]:
    """Expand vectors to the ids of images that the audience may see now, best first, ties by id.

    Of one vector no more than `at_most_each` images are taken, so that a picture that was uploaded
    ten thousand times costs no more than any other. An image counts as soon as its own job has come
    to its picture, prompt or caption: before that, a vector that somebody else brought is not told.
    """
    by_vector = {match.id: match for match in matches}
    pairs: list[tuple[int, Match]] = []
    for way in table.ways:
        for some in chunks(list(by_vector)):
            rows = session.execute(_images_of(some, way, audience, at_most_each)).all()
            if safety is not None:
                rows = safety.shown(session, rows, audience)
            pairs += [(row.image_id, by_vector[row.vector_id]) for row in rows]
    pairs.sort(key=lambda pair: (-pair[1].similarity, pair[0]))
    # An image that shows two of them counts by the nearer one.
    nearest_of: dict[int, tuple[int, Match]] = {}
    for pair in pairs:
        nearest_of.setdefault(pair[0], pair)
    return list(nearest_of.values())


def _images_of(
    vector_ids: Sequence[int], table: VectorTable, audience: Audience, at_most_each: int
) -> Select[Any]:
    vectors = table.entity
    place = func.row_number().over(partition_by=vectors.id, order_by=Image.id)
    shown = (
        select(
            Image.id.label("image_id"),
            Image.owner_id.label("owner_id"),
            Image.content_id.label("content_id"),
            vectors.id.label("vector_id"),
            place.label("place"),
        )
        .join(vectors, table.subject == table.shown_by)
        .where(
            may_see(audience),
            vectors.id.in_(vector_ids),
            vectors.is_deleted.is_(False),
            table.is_through,
        )
        .subquery()
    )
    return select(shown).where(shown.c.place <= at_most_each)


def loaded(
    session: Session, pairs: Sequence[tuple[int, Score]], audience: Audience
) -> list[tuple[Image, Score]]:
    """Return the images themselves, in the same order, content and owner loaded."""
    query = visible_images(audience).options(joinedload(Image.content), joinedload(Image.owner))
    rows = rows_in(session, query, Image.id, [image_id for image_id, _ in pairs])
    images = {image.id: image for (image,) in rows}
    # One that was deleted or hidden between the two statements is left out.
    return [(images[image_id], score) for image_id, score in pairs if image_id in images]


def nothing_to_search(kind: SpaceKind) -> str:
    """Return the sentence on a space in which the viewer may see nothing."""
    if kind is SpaceKind.IMAGE:
        return "There is nothing to search: no embedded image that you may see."
    what = SOURCE_OF_KIND[kind].removesuffix("s")
    return f"There is nothing to search: no {what} of an image that you may see has been embedded."


def _reason(answer: SearchAnswer, count: int, threshold: float | None, kind: SpaceKind) -> str:
    if answer.permitted_count == 0:
        return nothing_to_search(kind)
    if threshold is not None and count < answer.permitted_count:
        return f"Only {count} reach the similarity threshold of {threshold:g}."
    could = f"{answer.permitted_count} {SOURCE_OF_KIND[kind]} could be searched"
    return f"These are all there are: {could}."
