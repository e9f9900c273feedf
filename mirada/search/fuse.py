"""Fuse rankings of images by vectors and by words into one, by rank."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.vector_tables import subjects_of, table_of
from mirada.kernel.audience import Scope
from mirada.kernel.errors import InvalidInput
from mirada.kernel.similarity import WEAK_FROM
from mirada.ports import SearchAnswer, VectorIndex
from mirada.search.by_vector import Showing, nothing_to_search, ranked
from mirada.search.by_words import find_by_words
from mirada.search.found import FoundBy, Hit, Ranking, Searched
from mirada.search.queries import FUSED, Query, Source
from mirada.search.rank_fusion import Fused, WeightedRanking, reciprocal_rank_fusion
from mirada.search.safety import Safety
from mirada.search.verdict import Judge, Opinion, fused_relevance, judged

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
        judge: of the query; None tells relevance by its background.
    """

    source: Source
    weight: float
    query: Query
    index: VectorIndex
    judge: Judge | None = None


@dataclass(frozen=True, slots=True)
class WordQuery:
    """Words that are looked for as they are written.

    Attributes:
        text: anything; its words count.
        weight: > 0.
        without: texts: an image that holds every word of one is not found by its words.
    """

    text: str
    weight: float
    without: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _SourceAnswer:
    """One source's ranking, with similarities and relevances as `FoundBy` has them, by rank.

    `floor` is the highest relevance that an image may have which the source has not found.
    """

    ranking: WeightedRanking
    similarities: Sequence[float | None]
    relevances: Sequence[float]
    asked: VectorQuery | None = None
    by_index: SearchAnswer | None = None
    floor: float = 0.0

    def opinion_of(self, found: Fused) -> list[Opinion]:
        """Return what this source says of a result; nothing where it has nothing to compare."""
        ranking = self.ranking
        rank = found.ranks.get(ranking.source)
        if rank is None and (ranking.silent is None or found.id in ranking.silent):
            return []
        relevance = self.floor if rank is None else self.relevances[rank - 1]
        judge = None if self.asked is None else self.asked.judge
        is_sure = self.asked is None or judge is None or judge.tells_apart(self.asked.query)
        return [Opinion(Source(ranking.source), ranking.weight, relevance, is_sure)]

    def part_in(self, found: Fused) -> list[FoundBy]:
        """Return this source's part in a result; none when it did not find it."""
        source = self.ranking.source
        ranks = [found.ranks[source]] if source in found.ranks else []
        return [
            FoundBy(source, rank, self.similarities[rank - 1], self.relevances[rank - 1])
            for rank in ranks
        ]


def rank_fused(
    session: Session,
    vectors: Collection[VectorQuery],
    words: WordQuery | None,
    scope: Scope,
    *,
    k: int,
    threshold: float | None = None,
    safety: Safety | None = None,
    is_once_each: bool = False,
) -> Ranking:
    """Return the k best images of several rankings by weighted reciprocal rank fusion.

    Each ranking holds only what is in scope, and is read LEAST_DEPTH deep, or k.

    Args:
        session: for reading.
        vectors: questions to embedding spaces.
        words: what is looked for as it is written; None for nothing.
        scope: the viewer, what is kept from them, and what they ask to see.
        k: >= 1.
        threshold: least cosine similarity for a vector source to have found an image.
        safety: when not None, others' images that it calls unsafe are no results.
        is_once_each: of one picture, one image in the ranking of pictures.

    Raises:
        InvalidInput: a vector does not fit its index, or words were all there was to search and the
            text has none.
    """
    depth = max(k, LEAST_DEPTH)
    answers = [
        _by_vector(session, each, scope, depth, threshold, safety, is_once_each) for each in vectors
    ]
    left_out: dict[str, str] = {
        asked.source: nothing_to_search(asked.query.space.kind, scope)
        for asked, one in zip(vectors, answers, strict=True)
        if one.by_index is not None and one.by_index.permitted_count == 0
    }
    if words is not None:
        try:
            answers.append(_by_words(session, words, scope, depth, safety))
        except InvalidInput as error:
            if not answers:
                raise
            left_out[Source.KEYWORDS] = error.detail
    answers = _with_silence(session, answers)
    fused = reciprocal_rank_fusion([one.ranking for one in answers])[:k]
    hits = [_hit(each, answers) for each in fused]
    searched = {each.ranking.source: each.by_index for each in answers if each.by_index}
    return Ranking(
        hits=hits,
        way=FUSED,
        permitted_count=max((each.permitted_count for each in searched.values()), default=None),
        change_seq=min((answer.change_seq for answer in searched.values()), default=None),
        reason=None if len(hits) == k else _few(len(hits)),
        searched={source: Searched.of(answer) for source, answer in searched.items()},
        left_out=left_out,
    )


def _few(count: int) -> str:
    return f"These are all that were found: {count}." if count else "Nothing was found."


def _hit(fused: Fused, answers: Sequence[_SourceAnswer]) -> Hit:
    parts = [part for one in answers for part in one.part_in(fused)]
    shown = next((part for part in parts if part.source == Source.PICTURES), None)
    return Hit(
        fused.id,
        None if shown is None else shown.similarity,
        fused_relevance([each for one in answers for each in one.opinion_of(fused)]),
        fused.score,
        parts,
    )


def _by_vector(
    session: Session,
    asked: VectorQuery,
    scope: Scope,
    depth: int,
    threshold: float | None,
    safety: Safety | None,
    is_once_each: bool,
) -> _SourceAnswer:
    pairs, answer = ranked(
        session,
        asked.index,
        asked.query,
        scope,
        k=depth,
        threshold=threshold,
        showing=Showing(safety, is_once_each),
    )
    similarities = [match.similarity for _, match in pairs]
    lowest = min([*similarities[-1:], *([] if threshold is None else [threshold])], default=-1.0)
    best = pairs[0][1] if pairs else None
    standing = judged(asked.judge, session, [*similarities, lowest], best, answer)
    standing, floor = standing[:-1], float(standing[-1])
    # Relevance never rises down the ranking, so the relevant ones are the first.
    sure = int((standing >= WEAK_FROM).sum())
    ranking = WeightedRanking(asked.source, asked.weight, [image_id for image_id, _ in pairs], sure)
    return _SourceAnswer(ranking, similarities, standing.tolist(), asked, answer, floor)


def _by_words(
    session: Session, asked: WordQuery, scope: Scope, depth: int, safety: Safety | None
) -> _SourceAnswer:
    found = find_by_words(session, asked.text, scope, k=depth, safety=safety, without=asked.without)
    count, complete = len(found.image_ids), found.complete
    ranking = WeightedRanking(Source.KEYWORDS, asked.weight, found.image_ids, complete)
    return _SourceAnswer(ranking, [None] * count, [1.0] * complete + [0.0] * (count - complete))


def _with_silence(session: Session, answers: Sequence[_SourceAnswer]) -> list[_SourceAnswer]:
    """Return the answers with what the vector sources cannot compare among all that was found."""
    found = {image_id for each in answers for image_id in each.ranking.ids}

    def heard(each: _SourceAnswer) -> _SourceAnswer:
        if each.asked is None:
            return each
        silent = _silent(session, each.asked, found.difference(each.ranking.ids))
        return replace(each, ranking=replace(each.ranking, silent=silent))

    return [heard(each) for each in answers]


def _silent(session: Session, asked: VectorQuery, image_ids: Collection[int]) -> set[int]:
    """Return which of these images have no vector in a space, or are not yet to show it."""
    silent = set(image_ids)
    for table in table_of(asked.query.space.kind).ways:
        subjects = subjects_of(session, table, silent)
        live = select(table.subject).where(
            table.entity.space_id == asked.query.space_id, table.entity.is_deleted.is_(False)
        )
        embedded = {row[0] for row in rows_in(session, live, table.subject, subjects.values())}
        silent = {image_id for image_id in silent if subjects.get(image_id) not in embedded}
    return silent
