"""Find images through several sources at once: rankings by vectors and by words, fused by rank."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.changes import IN_LIST_ROWS
from mirada.db.models import Image
from mirada.db.vector_tables import table_of
from mirada.kernel.embeddings import SpaceKind, Vector
from mirada.kernel.errors import InvalidInput
from mirada.kernel.similarity import Verdict, relevances, verdict
from mirada.ports import VectorIndex
from mirada.search.by_vector import MAX_K, loaded, ranked
from mirada.search.by_words import find_by_words
from mirada.search.rank_fusion import WeightedRanking, reciprocal_rank_fusion
from mirada.search.safety import Safety

KEYWORDS = "keywords"
SURE_FROM = 0.5
"""Relevance from which a vector source's find counts in full."""
LEAST_DEPTH = 200
"""Images read of each ranking. More than most replies show, so that asking for more results only
appends to them; further down, a place is worth less than a quarter of the first."""


@dataclass(frozen=True, slots=True)
class VectorQuery:
    """A question to one embedding space.

    Attributes:
        source: its name in the reply.
        weight: > 0.
        space_id: the row of the space.
        index: of the space.
        kind: of the space; says whose vectors these are.
        vector: (d,) float32, unit norm.
    """

    source: str
    weight: float
    space_id: int
    index: VectorIndex
    kind: SpaceKind
    vector: Vector


@dataclass(frozen=True, slots=True)
class FoundBy:
    """One source's part in a result; similarity and relevance are None for words."""

    source: str
    rank: int
    similarity: float | None
    relevance: float | None


@dataclass(frozen=True, slots=True)
class FusedImage:
    """One result: an image the viewer may see, with its content and owner loaded.

    Attributes:
        image: the row.
        score: of the fusion; comparable within one reply.
        found_by: the sources that found it, in their order.
    """

    image: Image
    score: float
    found_by: list[FoundBy]


@dataclass(frozen=True, slots=True)
class FusedFound:
    """The results of one fused search, best first, ties by image id.

    Attributes:
        results: at most k.
        verdict: by the best relevance in any space; an image with every word is relevant.
        permitted_counts: source -> how many vectors its search ran over.
        ways: source -> how its index computed the answer.
        change_seq: the state that the stalest index reflects; None where only words were searched.
        left_out: source -> why it could not be searched.
    """

    results: list[FusedImage]
    verdict: Verdict
    permitted_counts: dict[str, int]
    ways: dict[str, str]
    change_seq: int | None
    left_out: dict[str, str]


def find_fused(
    session: Session,
    vectors: Collection[VectorQuery],
    words: tuple[str, float] | None,
    *,
    viewer_id: int | None,
    k: int,
    threshold: float | None = None,
    owner_ids: Collection[int] | None = None,
    safety: Safety | None = None,
) -> FusedFound:
    """Return the k best images of several rankings by weighted reciprocal rank fusion.

    Each ranking holds only what the viewer may see, and is read LEAST_DEPTH deep, or k.

    Args:
        session: for reading.
        vectors: questions to embedding spaces.
        words: a text whose words are looked for, and their weight; None for none.
        viewer_id: None for an anonymous caller.
        k: 1 to MAX_K.
        threshold: least cosine similarity for a vector source to have found an image.
        owner_ids: when not None, only images of these owners.
        safety: when not None, others' images that it calls unsafe are no results.

    Raises:
        InvalidInput: k is out of range, a vector does not fit its index, or words were all there
            was to search and the text has none.
    """
    if not 1 <= k <= MAX_K:
        raise InvalidInput(f"The number of results must be between 1 and {MAX_K}.")
    depth = max(k, LEAST_DEPTH)
    who: dict[str, Any] = {"viewer_id": viewer_id, "owner_ids": owner_ids, "safety": safety}
    rankings: list[WeightedRanking] = []
    sources: dict[str, VectorQuery] = {}
    parts: dict[tuple[str, int], tuple[float | None, float | None]] = {}
    counts: dict[str, int] = {}
    ways: dict[str, str] = {}
    change_seqs: list[int] = []
    left_out: dict[str, str] = {}
    for asked in vectors:
        pairs, answer = ranked(
            session,
            asked.index,
            asked.vector,
            k=depth,
            threshold=threshold,
            table=table_of(asked.kind),
            **who,
        )
        cosines = [match.similarity for _, match in pairs]
        standing = relevances(cosines, answer.background, answer.permitted_count)
        ids = [image_id for image_id, _ in pairs]
        sources[asked.source] = asked
        # Relevance never rises down the ranking, so the relevant ones are the first.
        sure = int((standing >= SURE_FROM).sum())
        rankings.append(WeightedRanking(asked.source, asked.weight, ids, sure))
        for image_id, cosine, relevance in zip(ids, cosines, standing, strict=True):
            parts[asked.source, image_id] = (cosine, float(relevance))
        counts[asked.source], ways[asked.source] = answer.permitted_count, answer.way
        change_seqs.append(answer.change_seq)
    complete: frozenset[int] = frozenset()
    if words is not None:
        try:
            found = find_by_words(session, words[0], k=depth, **who)
        except InvalidInput as error:
            if not rankings:
                raise
            left_out[KEYWORDS] = error.detail
        else:
            rankings.append(WeightedRanking(KEYWORDS, words[1], found.image_ids, found.complete))
            complete = frozenset(found.image_ids[: found.complete])
    candidates = {image_id for ranking in rankings for image_id in ranking.ids}
    heard = [
        replace(
            each, silent=_silent(session, sources[each.source], candidates.difference(each.ids))
        )
        if each.source in sources
        else each
        for each in rankings
    ]
    fused = [(each.id, each) for each in reciprocal_rank_fusion(heard)[:k]]
    results = [
        FusedImage(image, each.score, _found_by(image.id, each.ranks, parts))
        for image, each in loaded(session, fused, viewer_id)
    ]
    return FusedFound(
        results=results,
        verdict=verdict(_relevance(result, complete) for result in results),
        permitted_counts=counts,
        ways=ways,
        change_seq=min(change_seqs, default=None),
        left_out=left_out,
    )


def _silent(session: Session, asked: VectorQuery, image_ids: Collection[int]) -> set[int]:
    """Return which of these images have no vector in a space, or are not yet to show it."""
    table = table_of(asked.kind)
    ids = sorted(image_ids)
    silent = set(ids)
    for start in range(0, len(ids), IN_LIST_ROWS):
        # Two statements, for joined in one SQLite reads every vector of the space.
        subjects = session.execute(
            select(Image.id, table.shown_by).where(
                Image.id.in_(ids[start : start + IN_LIST_ROWS]),
                table.is_through,
                table.shown_by.is_not(None),
            )
        ).all()
        embedded = set(
            session.execute(
                select(table.subject).where(
                    table.entity.space_id == asked.space_id,
                    table.subject.in_({subject for _, subject in subjects}),
                    table.entity.is_deleted.is_(False),
                )
            ).scalars()
        )
        silent -= {image_id for image_id, subject in subjects if subject in embedded}
    return silent


def _found_by(
    image_id: int,
    ranks: Mapping[str, int],
    parts: Mapping[tuple[str, int], tuple[float | None, float | None]],
) -> list[FoundBy]:
    return [
        FoundBy(source, rank, *parts.get((source, image_id), (None, None)))
        for source, rank in ranks.items()
    ]


def _relevance(result: FusedImage, complete: Collection[int]) -> float:
    if result.image.id in complete:
        return 1.0
    return max((part.relevance or 0.0 for part in result.found_by), default=0.0)
