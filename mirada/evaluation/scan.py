"""An exact search of one space for many texts at once, as each query's owner may see it.

Every vector that the owner may see is compared, so no index has a say in the figures: they are of the
model alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mirada.kernel.embeddings import Matrix
from mirada.ports import VectorSource

Ids = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
QUERIES_AT_ONCE = 500
"""Rows of one product of matrices: with a page of 5,000 vectors it has 10 MB."""


@dataclass(slots=True)
class Asked:
    """The queries of one owner, and what was found for them so far.

    Attributes:
        queries: (q, d) unit rows.
        permitted: (n,) ascending ids of the vectors that the owner may see.
        wanted: (p,) positions of queries whose score with a vector is wanted too.
        wanted_ids: (p,) ids of these vectors.
        depth: how many vectors are found for each query, >= 1.
        scores: (p,) cosines of the wanted pairs; NaN until the vector was met.
        best_ids: (q, depth) ids found, best first, -1 beyond their number.
        best_scores: (q, depth) their cosines.
    """

    queries: Matrix
    permitted: Ids
    wanted: Ids
    wanted_ids: Ids
    depth: int
    scores: Scores = field(init=False)
    best_ids: Ids = field(init=False)
    best_scores: Scores = field(init=False)

    def __post_init__(self) -> None:
        shape = (len(self.queries), self.depth)
        self.scores = np.full(self.wanted.size, np.nan, np.float32)
        self.best_ids = np.full(shape, -1, np.int64)
        self.best_scores = np.full(shape, -np.inf, np.float32)

    def meet(self, ids: Ids, vectors: Matrix) -> None:
        """Compare the queries with a page of vectors; those that the owner may not see are left out."""
        rows = np.flatnonzero(np.isin(ids, self.permitted, assume_unique=True))
        if not rows.size:
            return
        ids, vectors = ids[rows], vectors[rows]
        for start in range(0, len(self.queries), QUERIES_AT_ONCE):
            part = slice(start, start + QUERIES_AT_ONCE)
            self._keep_best(part, ids, self.queries[part] @ vectors.T)
        places = np.minimum(np.searchsorted(ids, self.wanted_ids), ids.size - 1)
        met = np.flatnonzero(ids[places] == self.wanted_ids)
        self.scores[met] = np.einsum(
            "ij,ij->i", self.queries[self.wanted[met]], vectors[places[met]]
        )

    def _keep_best(self, part: slice, ids: Ids, scores: Scores) -> None:
        """Merge a page's scores into the best; ties go by id, and ids come ascending."""
        if ids.size > self.depth:
            # All that reach the last place that counts, so that a tie there goes by id too.
            last = np.partition(scores, -self.depth, axis=1)[:, -self.depth]
            columns = np.flatnonzero((scores >= last[:, None]).any(axis=0))
            ids, scores = ids[columns], scores[:, columns]
        repeated = np.broadcast_to(ids, scores.shape)
        all_ids = np.concatenate([self.best_ids[part], repeated], axis=1)
        all_scores = np.concatenate([self.best_scores[part], scores], axis=1)
        order = np.argsort(-all_scores, axis=1, kind="stable")[:, : self.depth]
        self.best_ids[part] = np.take_along_axis(all_ids, order, axis=1)
        self.best_scores[part] = np.take_along_axis(all_scores, order, axis=1)


def scan(
    source: VectorSource,
    asked: Sequence[Asked],
    report: Callable[[int, int | None], None],
) -> None:
    """Compare everybody's queries with every live vector of a space, read once.

    Args:
        source: of the vectors.
        asked: who asks what; what is found is kept in them.
        report: called with the vectors that were read and how many there are about; what it raises
            ends the scan.
    """
    total, done = source.count_live(), 0
    report(0, total)
    for page in source.live_rows_through(source.current_seq()):
        alive = ~page.dead
        order = np.argsort(page.ids[alive], kind="stable")
        ids, vectors = page.ids[alive][order], page.vectors[alive][order]
        for each in asked:
            each.meet(ids, vectors)
        done += page.ids.size
        report(done, max(total, done))
