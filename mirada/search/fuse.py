"""Find images through several sources at once: rankings by vectors and by words, fused by rank."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.models import Image
from mirada.db.vector_tables import table_of
from mirada.kernel.audience import Audience
from mirada.kernel.errors import InvalidInput
from mirada.kernel.similarity import Match, Verdict, relevances, verdict
from mirada.ports import SearchAnswer, VectorIndex
from mirada.search.by_vector import MAX_K, loaded, ranked
from mirada.search.by_words import find_by_words
from mirada.search.queries import Query
from mirada.search.rank_fusion import Fused, WeightedRanking, reciprocal_rank_fusion
from mirada.search.safety import Safety
from mirada.search.sources import Source

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
        query: the vector and its space.
        index: of the space.
    """

    source: Source
    weight: float
    query: Query
    index: VectorIndex


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


@dataclass(frozen=True, slots=True)
class _Answered:
    """One source's answer.

    Attributes:
        ranking: what it found.
        similarities: (n,) cosine of each find with the query, as the ranking orders them; empty for
            words.
        relevances: (n,) in [0, 1], likewise.
        query: what the source was asked; None for words.
        index_answer: of the source's index; None for words.
    """

    ranking: WeightedRanking
    similarities: Sequence[float] = ()
    relevances: Sequence[float] = ()
    query: VectorQuery | None = None
    index_answer: SearchAnswer | None = None

    def part_in(self, found: Fused) -> FoundBy | None:
        """Return this source's part in a find, None when it did not find it."""
        source = self.ranking.source
        rank = found.ranks.get(source)
        if rank is None:
            return None
        if self.query is None:
            return FoundBy(source, rank, None, None)
        return FoundBy(source, rank, self.similarities[rank - 1], self.relevances[rank - 1])


def find_fused(
    session: Session,
    vectors: Collection[VectorQuery],
    words: tuple[str, float] | None,
    audience: Audience,
    *,
    k: int,
    threshold: float | None = None,
    safety: Safety | None = None,
) -> FusedFound:
    """Return the k best images of several rankings by weighted reciprocal rank fusion.

    Each ranking holds only what the audience may see, and is read LEAST_DEPTH deep, or k.

    Args:
        session: for reading.
        vectors: questions to embedding spaces.
        words: a text whose words are looked for, and their weight; None for none.
        audience: who asks.
        k: 1 to MAX_K.
        threshold: least cosine similarity for a vector source to have found an image.
        safety: when not None, others' images that it calls unsafe are no results.

    Raises:
        InvalidInput: k is out of range, a vector does not fit its index, or words were all there
            was to search and the text has none.
    """
    if not 1 <= k <= MAX_K:
        raise InvalidInput(f"The number of results must be between 1 and {MAX_K}.")
    depth = max(k, LEAST_DEPTH)
    answers: list[_Answered] = []
    for each in vectors:
        pairs, answer = ranked(
            session,
            each.index,
            each.query.vector,
            audience,
            k=depth,
            threshold=threshold,
            safety=safety,
            kind=each.query.space.kind,
        )
        answers.append(_answered(each, pairs, answer))
    left_out: dict[str, str] = {}
    complete: Collection[int] = ()
    if words is not None:
        try:
            found = find_by_words(session, words[0], audience, k=depth, safety=safety)
        except InvalidInput as error:
            if not answers:
                raise
            left_out[Source.KEYWORDS] = error.detail
        else:
            complete = found.image_ids[: found.complete]
            ranking = WeightedRanking(Source.KEYWORDS, words[1], found.image_ids, found.complete)
            answers.append(_Answered(ranking))
    results = _fused(session, answers, audience, k)
    asked = {each.ranking.source: each.index_answer for each in answers if each.index_answer}
    return FusedFound(
        results=results,
        verdict=verdict(_relevance(result, frozenset(complete)) for result in results),
        permitted_counts={source: answer.permitted_count for source, answer in asked.items()},
        ways={source: answer.way for source, answer in asked.items()},
        change_seq=min((answer.change_seq for answer in asked.values()), default=None),
        left_out=left_out,
    )


def _answered(
    query: VectorQuery, pairs: Sequence[tuple[int, Match]], answer: SearchAnswer
) -> _Answered:
    similarities = [match.similarity for _, match in pairs]
    standing = relevances(similarities, answer.background, answer.permitted_count)
    # Relevance never rises down the ranking, so the relevant ones are the first.
    sure = int((standing >= SURE_FROM).sum())
    ranking = WeightedRanking(query.source, query.weight, [image for image, _ in pairs], sure)
    return _Answered(ranking, similarities, standing.tolist(), query, answer)


def _fused(
    session: Session, answers: Sequence[_Answered], audience: Audience, k: int
) -> list[FusedImage]:
    candidates = {image_id for each in answers for image_id in each.ranking.ids}
    rankings = [
        each.ranking
        if each.query is None
        else replace(
            each.ranking,
            silent=_silent(session, each.query, candidates.difference(each.ranking.ids)),
        )
        for each in answers
    ]
    fused = [(each.id, each) for each in reciprocal_rank_fusion(rankings)[:k]]
    return [
        FusedImage(image, found.score, [part for each in answers if (part := each.part_in(found))])
        for image, found in loaded(session, fused, audience)
    ]


def _silent(session: Session, asked: VectorQuery, image_ids: Collection[int]) -> set[int]:
    """Return which of these images have no vector in a space, or are not yet to show it."""
    table = table_of(asked.query.space.kind)
    # Two statements, for joined in one SQLite reads every vector of the space.
    shown = select(Image.id, table.shown_by).where(table.is_through, table.shown_by.is_not(None))
    subjects: dict[int, int] = dict(rows_in(session, shown, Image.id, image_ids))
    live = select(table.subject).where(
        table.entity.space_id == asked.query.space_id, table.entity.is_deleted.is_(False)
    )
    embedded = {subject for (subject,) in rows_in(session, live, table.subject, subjects.values())}
    return {image_id for image_id in image_ids if subjects.get(image_id) not in embedded}


def _relevance(result: FusedImage, complete: Collection[int]) -> float:
    if result.image.id in complete:
        return 1.0
    return max((part.relevance or 0.0 for part in result.found_by), default=0.0)
