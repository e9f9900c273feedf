"""One owner's part of an evaluation: what they may see, what they judged, and what was found for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.db.vector_tables import VectorTable
from mirada.evaluation.figures import Judged, K, QueryFigures, query_figures
from mirada.evaluation.judged_queries import JudgedQuery
from mirada.evaluation.scan import Asked
from mirada.evaluation.shown_pictures import (
    Findable,
    contents_behind,
    findable_images,
    seen_images,
)
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import Matrix
from mirada.runtime import Runtime

Ids = npt.NDArray[np.int64]


@dataclass(slots=True)
class Share:
    """One owner's part of an evaluation.

    Attributes:
        queries: theirs.
        scope: what they may see.
        findable: the judged images that count, by id.
        asked: what is searched for, and what was found.
        gone: judged images that they do not see.
        without_vector: those that they see and no search can find.
    """

    queries: Sequence[JudgedQuery]
    scope: Scope
    findable: Mapping[int, Findable]
    asked: Asked
    gone: int
    without_vector: int

    @classmethod
    def of(
        cls,
        runtime: Runtime,
        table: VectorTable,
        space_id: int,
        queries: Sequence[JudgedQuery],
        vectors: Matrix,
        only: Ids | None,
    ) -> Share:
        """Read what an owner may see, and which of their judged images count."""
        scope = Scope(Audience(queries[0].owner_id))
        permitted = runtime.vector_source(space_id).passing(scope)
        if only is not None:
            permitted = np.intersect1d(permitted, only, assume_unique=True)
        judged = {image for query in queries for image in query.good | query.bad}
        with runtime.reading() as session:
            seen = seen_images(session, scope, judged)
            findable = findable_images(session, table, space_id, scope, seen)
        if only is not None:
            kept = set(permitted.tolist())
            findable = {
                image: Findable(each.content_id, each.vectors & kept)
                for image, each in findable.items()
                if each.vectors & kept
            }
        wanted = _wanted(queries, findable)
        asked = Asked(vectors, permitted, wanted[:, 0], wanted[:, 1], K * len(table.ways))
        mentioned = [image for query in queries for image in query.good | query.bad]
        gone = sum(image not in seen for image in mentioned)
        return cls(
            queries,
            scope,
            findable,
            asked,
            gone,
            sum(image not in findable for image in mentioned) - gone,
        )

    def figures(
        self, runtime: Runtime, table: VectorTable, space_id: int
    ) -> dict[int, QueryFigures]:
        """Return the figures of each query that counts, by its id, after the scan."""
        best = self.asked.best_ids
        shown = {int(each) for each in np.unique(best[best >= 0])}
        with runtime.reading() as session:
            behind = contents_behind(session, table, space_id, self.scope, shown, K)
        scores: dict[int, dict[int, float]] = defaultdict(dict)
        for place, vector_id, score in zip(
            self.asked.wanted.tolist(),
            self.asked.wanted_ids.tolist(),
            self.asked.scores.tolist(),
            strict=True,
        ):
            scores[place][vector_id] = score
        found: dict[int, QueryFigures] = {}
        for place, query in enumerate(self.queries):
            of_contents = self._content_scores(query, scores[place])
            judged = self._judged(query, of_contents)
            if judged.good:
                contents = (c for v in best[place].tolist() for c in behind.get(v, ()))
                ranking = list(dict.fromkeys(contents))[:K]
                of_judged = sorted(of_contents, key=lambda each: (-of_contents[each], each))
                found[query.id] = query_figures(ranking, of_judged, judged)
        return found

    def _content_scores(self, query: JudgedQuery, scores: Mapping[int, float]) -> dict[int, float]:
        """Return the best cosine of each judged content whose vectors the scan met."""
        found: dict[int, float] = {}
        for image in query.good | query.bad:
            if image in self.findable:
                each = self.findable[image]
                met = [scores[v] for v in each.vectors if not np.isnan(scores[v])]
                if met:
                    found[each.content_id] = max(*met, found.get(each.content_id, -2.0))
        return found

    def _judged(self, query: JudgedQuery, of_contents: Mapping[int, float]) -> Judged:
        """Return the contents that count; one that is judged both ways, by its copies, is good."""
        good, bad = (
            {
                self.findable[image].content_id
                for image in images
                if image in self.findable and self.findable[image].content_id in of_contents
            }
            for images in (query.good, query.bad)
        )
        return Judged(frozenset(good), frozenset(bad - good))


def _wanted(queries: Sequence[JudgedQuery], findable: Mapping[int, Findable]) -> Ids:
    """Return (p, 2): places of queries with the vectors of their judged images."""
    pairs = [
        (place, vector_id)
        for place, query in enumerate(queries)
        for vector_id in sorted(
            {
                vector_id
                for image in query.good | query.bad
                if image in findable
                for vector_id in findable[image].vectors
            }
        )
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)
