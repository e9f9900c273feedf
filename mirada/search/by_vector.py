"""Find images near a vector, by their pictures or by their prompts.

The index proposes, the database decides who may see the answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from mirada.db import changes
from mirada.db.models import Image
from mirada.db.vector_tables import PICTURES, PROMPTS, VectorTable, table_of
from mirada.db.visibility import may_see, visible_images
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, Vector, from_blob
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.kernel.images import ImageStatus
from mirada.kernel.similarity import Match, Verdict, relevances, verdict
from mirada.ports import Permitted, SearchAnswer, VectorIndex, single
from mirada.search.safety import Safety

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


def find(
    session: Session,
    index: VectorIndex,
    query: Vector,
    *,
    viewer_id: int | None,
    k: int,
    threshold: float | None = None,
    exclude_image_ids: Collection[int] = (),
    owner_ids: Collection[int] | None = None,
    safety: Safety | None = None,
    kind: SpaceKind = SpaceKind.IMAGE,
) -> Found:
    """Return the k images nearest to a vector among those the viewer may see.

    Permitted vectors are chosen before ranking and every image is authorised again here, in SQL,
    so one deleted or made private a moment ago never appears.

    Args:
        session: for reading.
        index: of the query's space.
        query: (d,) float32, unit norm.
        viewer_id: None for an anonymous caller.
        k: 1 to MAX_K.
        threshold: least cosine similarity of a result; None for no cut.
        exclude_image_ids: images that may not be results, such as the one searched with.
        owner_ids: when not None, only images of these owners.
        safety: when not None, others' images that it calls unsafe are no results.
        kind: of the index's space: whose vectors it holds.

    Raises:
        InvalidInput: k is out of range, or the vector does not fit the index.
    """
    if not 1 <= k <= MAX_K:
        raise InvalidInput(
            f"The number of results must be between 1 and {MAX_K}.",
            fields={"limit": [f"Must be between 1 and {MAX_K}."]},
        )
    proposed, answer = ranked(
        session,
        index,
        query,
        viewer_id=viewer_id,
        k=k,
        threshold=threshold,
        exclude_image_ids=exclude_image_ids,
        owner_ids=owner_ids,
        safety=safety,
        table=table_of(kind),
    )
    images = loaded(session, proposed, viewer_id)
    scores = [match.similarity for _, match in images]
    results = [
        FoundImage(image, match.similarity, float(relevance))
        for (image, match), relevance in zip(
            images, relevances(scores, answer.background, answer.permitted_count), strict=True
        )
    ]
    return Found(
        results=results,
        verdict=verdict(found.relevance for found in results),
        way=answer.way,
        permitted_count=answer.permitted_count,
        change_seq=answer.change_seq,
        reason=None if len(results) == k else _reason(answer, len(results), threshold),
    )


def ranked(
    session: Session,
    index: VectorIndex,
    query: Vector,
    *,
    viewer_id: int | None,
    k: int,
    threshold: float | None = None,
    exclude_image_ids: Collection[int] = (),
    owner_ids: Collection[int] | None = None,
    safety: Safety | None = None,
    table: VectorTable = PICTURES,
) -> tuple[list[tuple[int, Match]], SearchAnswer]:
    """Return the ids of what `find` finds, with their vectors' matches, and the index's answer."""
    owners = None if owner_ids is None else frozenset(owner_ids)
    permitted = Permitted(viewer_id=viewer_id, owner_ids=owners)
    asked = k + len(exclude_image_ids)
    is_confirmed = False
    while True:
        answer = index.search(single(query), asked, permitted)[0]
        near = [m for m in answer.matches if threshold is None or m.similarity >= threshold]
        if not near and not is_confirmed:
            # "Nothing" is the one answer that the database has no part in below. Whether it is true,
            # or the index only has not heard yet, is asked here, once.
            index.wait_for(changes.current_seq(session))
            is_confirmed = True
            continue
        proposed = authorised(
            session,
            near,
            table,
            viewer_id=viewer_id,
            at_most_each=k,
            owner_ids=owners,
            exclude_image_ids=exclude_image_ids,
            safety=safety,
        )
        # What the database withheld since the index looked is made up for by looking further.
        is_exhausted = len(answer.matches) < asked or len(near) < len(answer.matches)
        if len(proposed) >= k or is_exhausted:
            return proposed[:k], answer
        asked *= 2


def vector_of_image(
    session: Session, image_id: int, *, viewer_id: int | None, space_id: int, space: EmbeddingSpace
) -> Vector:
    """Return the stored (d,) vector of an image the viewer may see, or of its prompt, by the space.

    Raises:
        NotFound: there is no such image for this viewer.
        Conflict: the image has no vector (yet), or no prompt; the message says why.
    """
    image = session.execute(
        visible_images(viewer_id).where(Image.id == image_id)
    ).scalar_one_or_none()
    if image is None:
        raise NotFound(f"There is no image {image_id}.")
    table = table_of(space.kind)
    vectors = table.entity
    if table is PROMPTS and image.prompt_text_id is None:
        raise Conflict(f"Image {image_id} has no prompt.")
    row = session.execute(
        select(vectors.vector, vectors.crc32)
        .join(Image, table.subject == table.shown_by)
        .where(
            Image.id == image_id,
            table.is_through,
            vectors.space_id == space_id,
            vectors.is_deleted.is_(False),
        )
    ).one_or_none()
    # A vector that somebody else's upload or text brought is not told before this image's own job
    # has come to it.
    if row is None:
        raise Conflict(
            f"Image {image_id} could not be embedded."
            + (f" {image.failure}" if image.owner_id == viewer_id and image.failure else "")
            if image.status == ImageStatus.FAILED
            else f"Image {image_id} is {image.status} and has no {space.kind} vector yet; try again in "
            "a moment."
        )
    return from_blob(row.vector, row.crc32, space.dimension)


def authorised(
    session: Session,
    matches: Sequence[Match],
    table: VectorTable,
    *,
    viewer_id: int | None,
    at_most_each: int,
    owner_ids: frozenset[int] | None = None,
    exclude_image_ids: Collection[int] = (),
    safety: Safety | None = None,
) -> list[tuple[int, Match]]:
    """Expand vectors to the ids of images that the viewer may see now, best first, ties by id.

    Of one vector no more than `at_most_each` images are taken, so that a picture that was uploaded
    ten thousand times costs no more than any other. An image counts as soon as its own job has come
    to its picture, prompt or caption: before that, a vector that somebody else brought is not told.
    """
    by_vector = {match.id: match for match in matches}
    ids = list(by_vector)
    vectors = table.entity
    pairs: list[tuple[int, Match]] = []
    for start in range(0, len(ids), changes.IN_LIST_ROWS):
        conditions = [
            may_see(viewer_id),
            vectors.id.in_(ids[start : start + changes.IN_LIST_ROWS]),
            vectors.is_deleted.is_(False),
            table.is_through,
            Image.id.not_in(exclude_image_ids),
        ]
        if owner_ids is not None:
            conditions.append(Image.owner_id.in_(owner_ids))
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
            .where(*conditions)
            .subquery()
        )
        rows = session.execute(select(shown).where(shown.c.place <= at_most_each)).all()
        others = {row.content_id for row in rows if row.owner_id != viewer_id}
        unsafe = set() if safety is None else safety.unsafe_contents(session, others)
        pairs += [
            (row.image_id, by_vector[row.vector_id])
            for row in rows
            if row.owner_id == viewer_id or row.content_id not in unsafe
        ]
    pairs.sort(key=lambda pair: (-pair[1].similarity, pair[0]))
    return pairs


def loaded(
    session: Session, pairs: Sequence[tuple[int, Score]], viewer_id: int | None
) -> list[tuple[Image, Score]]:
    """Return the images themselves, in the same order, content and owner loaded."""
    ids = [image_id for image_id, _ in pairs]
    images: dict[int, Image] = {}
    for start in range(0, len(ids), changes.IN_LIST_ROWS):
        statement = (
            visible_images(viewer_id)
            .where(Image.id.in_(ids[start : start + changes.IN_LIST_ROWS]))
            .options(joinedload(Image.content), joinedload(Image.owner))
        )
        images |= {image.id: image for image in session.execute(statement).scalars()}
    # One that was deleted or hidden between the two statements is left out.
    return [(images[image_id], score) for image_id, score in pairs if image_id in images]


def _reason(answer: SearchAnswer, count: int, threshold: float | None) -> str:
    if answer.permitted_count == 0:
        return "There is nothing to search: no embedded image that you may see."
    if threshold is not None and count < answer.permitted_count:
        return f"Only {count} reach the similarity threshold of {threshold:g}."
    return f"These are all there are: {answer.permitted_count} pictures could be searched."
