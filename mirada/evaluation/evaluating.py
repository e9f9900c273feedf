"""Evaluate a space: how well its encoder finds what people judged to be right for their queries.

`evaluate` measures one space; `compare` two, over the pictures that both have. Both work with every
space of the database that has vectors, in use or not, as long as its encoder is at hand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.db.vector_tables import table_of
from mirada.evaluation.figures import Figures, QueryFigures, mean_change, means
from mirada.evaluation.judged_queries import JudgedQuery
from mirada.evaluation.scan import pages_of, permitted_by_any, scan
from mirada.evaluation.share import Share
from mirada.evaluation.shown_pictures import common_vectors
from mirada.kernel.embeddings import EmbeddingSpace, Matrix
from mirada.kernel.errors import EmbeddingSpaceMismatch
from mirada.kernel.intervals import Estimate
from mirada.ports import TextEncoder
from mirada.runtime import Runtime

Report = Callable[[int, int | None], None]
Ids = npt.NDArray[np.int64]
TEXTS_AT_ONCE = 64


def silent(done: int, total: int | None) -> None:
    """Take a report of progress and go on."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How many queries and judged images there were, and why some of them did not count.

    Attributes:
        queries: all.
        without_good: queries that did not count: no good image of theirs can be found.
        judged: images that were judged, once for each query.
        gone: those of them that were deleted, or that the query's owner cannot see now.
        without_vector: those that have no vector in the space (yet).
        pictures: vectors that were compared; of several owners, those of the one who sees most.
    """

    queries: int
    without_good: int
    judged: int
    gone: int
    without_vector: int
    pictures: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of one space.

    Attributes:
        space_id: the row of the space.
        space: whose vectors they are.
        overall: means over all queries; None where none counts.
        languages: means by language; the key None is of queries without one.
        queries: the figures of each query that counts, by its id.
        counted: what they rest on.
    """

    space_id: int
    space: EmbeddingSpace
    overall: Figures | None
    languages: Mapping[str | None, Figures]
    queries: Mapping[int, QueryFigures]
    counted: Counted


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two spaces, measured with the same queries over the pictures that both have.

    Attributes:
        before: the figures of the one.
        after: of the other.
        recall_change: mean of after - before of recall@10; None where no query counts.
        ndcg_change: of nDCG@10.
    """

    before: Evaluation
    after: Evaluation
    recall_change: Estimate | None
    ndcg_change: Estimate | None


@dataclass(frozen=True, slots=True)
class Measured:
    """A space and the encoder of texts that its vectors can be compared with."""

    space_id: int
    encoder: TextEncoder


def evaluate(
    runtime: Runtime,
    measured: Measured,
    queries: Sequence[JudgedQuery],
    report: Report = silent,
    *,
    only: Ids | None = None,
) -> Evaluation:
    """Measure a space with queries, each as its owner sees the library now.

    Args:
        runtime: with the database.
        measured: the space.
        queries: as `judged_queries` returns them.
        report: called with the vectors that were met and how many the owners may see; what it raises
            ends it.
        only: (n,) ascending ids of the vectors that count; None for all.

    Raises:
        NotFound: there is no such space.
        EmbeddingSpaceMismatch: the encoder is of another space.
        Unavailable: the encoder or the database fails.
    """
    source = runtime.vector_source(measured.space_id)
    space = source.space
    if measured.encoder.space != space:
        raise EmbeddingSpaceMismatch(
            f"Texts of {measured.encoder.space.name} cannot be compared with vectors of {space.name}."
        )
    table = table_of(space.kind)
    vectors = _text_vectors(measured.encoder, [query.text for query in queries], report)
    shares = [
        Share.of(runtime, table, measured.space_id, owned, vectors[places], only)
        for owned, places in _by_owner(queries)
    ]
    asked = [share.asked for share in shares]
    scan(pages_of(runtime, measured.space_id, permitted_by_any(asked)), asked, report)
    found: dict[int, QueryFigures] = {}
    for share in shares:
        found |= share.figures(runtime, table, measured.space_id)
    counted = Counted(
        queries=len(queries),
        without_good=len(queries) - len(found),
        judged=sum(len(query.good) + len(query.bad) for query in queries),
        gone=sum(share.gone for share in shares),
        without_vector=sum(share.without_vector for share in shares),
        pictures=max((share.asked.permitted.size for share in shares), default=0),
    )
    languages = _by_language(queries, found)
    overall = means(list(found.values()))
    return Evaluation(measured.space_id, space, overall, languages, found, counted)


def compare(
    runtime: Runtime,
    before: Measured,
    after: Measured,
    queries: Sequence[JudgedQuery],
    report: Report = silent,
) -> Comparison:
    """Measure two spaces with the same queries, over what has a vector in both.

    Args:
        runtime: with the database.
        before: one space, such as the one in use.
        after: another one of the same kind, such as one that is being built.
        queries: as `judged_queries` returns them.
        report: as of `evaluate`; it is called for the one, then for the other.

    Raises:
        EmbeddingSpaceMismatch: the spaces are of two kinds, or an encoder is of another space.
        NotFound, Unavailable: as `evaluate` does.
    """
    kinds = [runtime.vector_source(each.space_id).space.kind for each in (before, after)]
    if kinds[0] != kinds[1]:
        raise EmbeddingSpaceMismatch(
            f"Spaces of {kinds[0]}s and of {kinds[1]}s hold vectors of different things."
        )
    table = table_of(kinds[0])
    with runtime.reading() as session:
        common = [
            common_vectors(session, table, one.space_id, table, other.space_id)
            for one, other in ((before, after), (after, before))
        ]
    old, new = (
        evaluate(runtime, each, queries, report, only=ids)
        for each, ids in zip((before, after), common, strict=True)
    )
    both = sorted(old.queries.keys() & new.queries.keys())
    if not both:
        return Comparison(old, new, None, None)
    pairs = [(old.queries[number], new.queries[number]) for number in both]
    return Comparison(
        old,
        new,
        mean_change((one.recall, other.recall) for one, other in pairs),
        mean_change((one.ndcg, other.ndcg) for one, other in pairs),
    )


def _text_vectors(encoder: TextEncoder, texts: Sequence[str], report: Report) -> Matrix:
    """Return (n, d): each text is encoded once, a few at a time, so that others get their turns."""
    distinct = list(dict.fromkeys(texts))
    rows = [np.empty((0, encoder.space.dimension), np.float32)]
    for start in range(0, len(distinct), TEXTS_AT_ONCE):
        report(0, None)
        rows.append(encoder.encode_texts(distinct[start : start + TEXTS_AT_ONCE]))
    places = {text: place for place, text in enumerate(distinct)}
    return np.concatenate(rows)[[places[text] for text in texts]]


def _by_owner(
    queries: Sequence[JudgedQuery],
) -> list[tuple[list[JudgedQuery], list[int]]]:
    """Return each owner's queries with their places among all."""
    places: dict[int, list[int]] = defaultdict(list)
    for place, query in enumerate(queries):
        places[query.owner_id].append(place)
    return [([queries[place] for place in of_one], of_one) for of_one in places.values()]


def _by_language(
    queries: Sequence[JudgedQuery], found: Mapping[int, QueryFigures]
) -> dict[str | None, Figures]:
    groups: dict[str | None, list[QueryFigures]] = defaultdict(list)
    for query in queries:
        if query.id in found:
            groups[query.language].append(found[query.id])
    sums = {language: means(each) for language, each in groups.items()}
    # By name, those without a language last.
    order = sorted(sums, key=lambda language: (language is None, language or ""))
    return {language: figures for language in order if (figures := sums[language]) is not None}
