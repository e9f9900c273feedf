"""Find the images nearest to a vector, by their pictures, prompts or captions.

The index proposes, the database decides who may see the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Integer, Row, Select, bindparam, case, func, select
from sqlalchemy.orm import Session

from mirada.db.chunks import chunks
from mirada.db.filters import in_scope, kept_by_scope
from mirada.db.models import Image
from mirada.db.vector_tables import VectorTable, table_of
from mirada.db.visibility import left_out_of
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.similarity import Match
from mirada.pictures.shown_images import ShownImage, shown_images
from mirada.ports import SearchAnswer, VectorIndex
from mirada.search.deepening import nearest
from mirada.search.found import Found, FoundImage, Hit, Ranking, Searched, require_k
from mirada.search.queries import SOURCE_OF_KIND, Query
from mirada.search.safety import Safety
from mirada.search.verdict import Judge, judged

Score = TypeVar("Score")


@dataclass(frozen=True, slots=True)
class Showing:
    """The images that are shown of a vector that was found.

    Attributes:
        safety: when not None, others' images that it calls unsafe are no results.
        is_once_each: of one picture, one image.
    """

    safety: Safety | None = None
    is_once_each: bool = False


EVERY_IMAGE = Showing()
"""All its images."""
IMAGES_PER_VECTOR = 4
"""Read at first of each vector on average; most have one image."""
VANISHED = "Some were deleted or hidden while they were looked for."


def find(
    session: Session,
    index: VectorIndex,
    query: Query,
    scope: Scope,
    *,
    k: int,
    threshold: float | None = None,
    safety: Safety | None = None,
    judge: Judge | None = None,
) -> Found:
    """Return the k images nearest to a query among those in scope; see `rank`.

    Raises:
        InvalidInput: k is out of range, or the vector does not fit the index.
    """
    require_k(k)
    showing = Showing(safety)
    ranking = rank(
        session, index, query, scope, k=k, threshold=threshold, showing=showing, judge=judge
    )
    return found_of(session, ranking, ranking.hits, scope, k=k)


def rank(
    session: Session,
    index: VectorIndex,
    query: Query,
    scope: Scope,
    *,
    k: int,
    threshold: float | None = None,
    showing: Showing = EVERY_IMAGE,
    judge: Judge | None = None,
) -> Ranking:
    """Return the ids of the k images nearest to a query among those in scope.

    The index ranks only permitted vectors. Every image is authorised again here, in SQL, so one that
    was deleted or made private a moment ago never appears.

    Args:
        session: for reading.
        index: of the query's space.
        query: in the index's space.
        scope: the viewer, what is kept from them, and what they ask to see.
        k: >= 1.
        threshold: least cosine similarity of a result; None for no cut.
        showing: what is shown of a vector.
        judge: of the query; None tells relevance by its background.

    Raises:
        InvalidInput: the vector does not fit the index.
    """
    pairs, answer = ranked(
        session,
        index,
        query,
        scope,
        k=k,
        threshold=threshold,
        showing=showing,
    )
    scores = [match.similarity for _, match in pairs]
    best = pairs[0][1] if pairs else None
    standing = judged(judge, session, scores, best, answer)
    return Ranking(
        hits=[
            Hit(image_id, similarity, float(relevance))
            for (image_id, _), similarity, relevance in zip(pairs, scores, standing, strict=True)
        ],
        way=answer.way,
        permitted_count=answer.permitted_count,
        change_seq=answer.change_seq,
        reason=None
        if len(pairs) == k
        else _reason(answer, pairs, threshold, query.space.kind, scope),
        searched={SOURCE_OF_KIND[query.space.kind]: Searched.of(answer)},
    )


def found_of(
    session: Session, ranking: Ranking, hits: Sequence[Hit], scope: Scope, *, k: int
) -> Found:
    """Return some hits of a ranking as results, their images loaded; of k that were asked for."""
    pairs = loaded(session, [(hit.image_id, hit) for hit in hits], scope)
    results = [FoundImage(image, hit) for image, hit in pairs]
    return Found(results, ranking, None if len(results) == k else ranking.reason or VANISHED)


def ranked(
    session: Session,
    index: VectorIndex,
    query: Query,
    scope: Scope,
    *,
    k: int,
    threshold: float | None,
    showing: Showing,
) -> tuple[list[tuple[int, Match]], SearchAnswer]:
    """Return the ids of what `find` finds, with their vectors' matches, and the index's answer."""
    table = table_of(query.space.kind)
    # A text may be of many pictures, so its images are all read.
    at_most_each = 1 if showing.is_once_each and query.space.kind is SpaceKind.IMAGE else k
    return nearest(
        session,
        index,
        query,
        scope,
        k=k,
        threshold=threshold,
        shown=lambda near: authorised(
            session, near, table, scope, at_most_each=at_most_each, safety=showing.safety
        ),
        spare=len(scope.audience.left_out_ids),
    )


def authorised(
    session: Session,
    matches: Sequence[Match],
    table: VectorTable,
    scope: Scope,
    *,
    at_most_each: int,
    safety: Safety | None,
) -> list[tuple[int, Match]]:
    """Expand vectors to the ids of images that are in scope now, best first, ties by id.

    Of one vector no more than `at_most_each` images are taken, so that a picture that was uploaded
    ten thousand times costs no more than any other. An image counts as soon as its own job has come
    to its picture, prompt or caption: before that, a vector that somebody else brought is not told.
    """
    by_vector = {match.id: match for match in matches}
    pairs: list[tuple[int, Match]] = []
    for way in table.ways:
        for some in chunks(list(by_vector)):
            rows = _images_of(session, some, way, scope, at_most_each, is_hiding=safety is not None)
            if safety is not None:
                rows = safety.shown(session, rows, scope.audience)
            pairs += [(row.image_id, by_vector[row.vector_id]) for row in rows]
    pairs.sort(key=lambda pair: (-pair[1].similarity, pair[0]))
    # An image that shows two of them counts by the nearer one.
    nearest_of: dict[int, tuple[int, Match]] = {}
    for pair in pairs:
        nearest_of.setdefault(pair[0], pair)
    return list(nearest_of.values())


def _images_of(
    session: Session,
    vector_ids: Sequence[int],
    table: VectorTable,
    scope: Scope,
    at_most_each: int,
    *,
    is_hiding: bool,
) -> Sequence[Row[Any]]:
    vector_id = table.entity.__table__.c.id
    most = IMAGES_PER_VECTOR * len(vector_ids)
    asked = {"vectors": list(vector_ids), "most": most, **left_out_of(scope.audience)}
    rows = session.execute(_some_of_vectors(scope, table), asked).all()
    counts = Counter(row.vector_id for row in rows)
    if len(rows) < most and max(counts.values(), default=0) <= at_most_each:
        return rows
    # Few pictures were uploaded so often. Numbering the images of each is more work than reading them.
    order: list[Any] = [Image.id]
    numbered_by: list[Any] = [vector_id]
    if scope.viewer_id is not None and (at_most_each == 1 or is_hiding):
        # One's own is shown whatever it shows. Of one alone it is that; of several, so many others'
        # may be hidden that it would not be among the first.
        apart = order if at_most_each == 1 else numbered_by
        apart.insert(0, case((Image.owner_id == scope.viewer_id, 0), else_=1))
    place = func.row_number().over(partition_by=numbered_by, order_by=order)
    query = _of_vectors(table).where(in_scope(scope), vector_id.in_(vector_ids))
    shown = query.add_columns(place.label("place")).subquery()
    return session.execute(select(shown).where(shown.c.place <= at_most_each)).all()


@kept_by_scope
def _some_of_vectors(scope: Scope, table: VectorTable) -> Select[Any]:
    """Return the query for at most so many (`most`) images in scope that show some vectors (`vectors`)."""
    which = table.entity.__table__.c.id.in_(bindparam("vectors", expanding=True))
    return _of_vectors(table).where(in_scope(scope), which).limit(bindparam("most", type_=Integer))


@cache
def _of_vectors(table: VectorTable) -> Select[Any]:
    """Return the query for the images that show vectors; which, and who sees them, is to be added."""
    images, vectors = Image.__table__, table.entity.__table__
    return (
        select(
            images.c.id.label("image_id"),
            images.c.owner_id,
            images.c.content_id,
            vectors.c.id.label("vector_id"),
        )
        .select_from(images)
        .join(vectors, table.subject == table.shown_by)
        .where(vectors.c.is_deleted.is_(False), table.is_through)
    )


def loaded(
    session: Session, pairs: Sequence[tuple[int, Score]], scope: Scope
) -> list[tuple[ShownImage, Score]]:
    """Return the images as the viewer is shown them, in the same order."""
    images = shown_images(session, [image_id for image_id, _ in pairs], scope)
    # One that was deleted or hidden between the two statements is left out.
    return [(images[image_id], score) for image_id, score in pairs if image_id in images]


def nothing_to_search(kind: SpaceKind, scope: Scope) -> str:
    """Return the sentence on a space in which nothing is in scope."""
    what = "image" if kind is SpaceKind.IMAGE else SOURCE_OF_KIND[kind].removesuffix("s")
    passes = "" if scope.filter.is_everything else " and that meets every condition of the filter"
    if kind is SpaceKind.IMAGE:
        return f"There is nothing to search: no embedded image that you may see{passes}."
    return (
        f"There is nothing to search: no {what} of an image that you may see{passes} has been "
        "embedded."
    )


def _reason(
    answer: SearchAnswer,
    pairs: Sequence[tuple[int, Match]],
    threshold: float | None,
    kind: SpaceKind,
    scope: Scope,
) -> str:
    if answer.permitted_count == 0:
        return nothing_to_search(kind, scope)
    # One vector may be of many images.
    vectors = {match.id for _, match in pairs}
    if threshold is not None and len(vectors) < answer.permitted_count:
        many = {0: "No result reaches", 1: "Only 1 reaches"}.get(
            len(pairs), f"Only {len(pairs)} reach"
        )
        return f"{many} the similarity threshold of {threshold:g}."
    return f"These are all there are: {len(pairs)}."
