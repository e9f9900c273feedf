"""An exact search of one space for many texts at once, as each query's owner may see it.

Every vector that the owner may see is compared, so no index has a say in the figures: they are of the
model alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import select

from mirada.db.stored_vectors import vectors_in
from mirada.db.vector_tables import table_of
from mirada.kernel.embeddings import Matrix
from mirada.runtime import Runtime

Ids = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
Page = tuple[Ids, Matrix]
"""(n,) ids, ascending, and (n, d) their vectors."""
QUERIES_AT_ONCE = 500
"""Rows of one product of matrices: with a page of 5,000 vectors it has 10 MB."""
PAGE_ROWS = 2_000
FEW_VECTORS = 50_000
"""So many are looked up one by one, at 20 us each; of more, the whole table is read."""


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
        """Merge a page's scores into the best; ties go by id."""
        least = self.best_scores[part, -1]
        if ids.size > self.depth:
            # All that reach the last place that counts, so that a tie there goes by id too.
            last = np.partition(scores, -self.depth, axis=1)[:, -self.depth]
            least = np.maximum(least, last)
        rows, columns = np.nonzero(scores >= least[:, None])
        old_rows, old_columns = np.nonzero(self.best_ids[part] >= 0)
        rows = np.concatenate([old_rows, rows])
        found = np.concatenate(
            [self.best_scores[part][old_rows, old_columns], scores[rows[old_rows.size :], columns]]
        )
        found_ids = np.concatenate([self.best_ids[part][old_rows, old_columns], ids[columns]])
        order = np.lexsort((found_ids, -found, rows))
        rows = rows[order]
        places = np.arange(rows.size) - np.searchsorted(rows, rows)
        kept = places < self.depth
        where = rows[kept], places[kept]
        self.best_ids[part][where] = found_ids[order][kept]
        self.best_scores[part][where] = found[order][kept]


def scan(
    pages: Iterable[Page], asked: Sequence[Asked], report: Callable[[int, int | None], None]
) -> None:
    """Compare everybody's queries with every vector that any of them may see, each read once.

    Args:
        pages: ids, ascending within a page, and vectors, as `pages_of` yields them.
        asked: who asks what; what is found is kept in them.
        report: called with how many vectors were met, and how many there are. Only those that may be
            seen count: the others are not to be told of. What it raises ends the scan.
    """
    seen = permitted_by_any(asked)
    done = 0
    report(0, seen.size)
    for ids, vectors in pages:
        for each in asked:
            each.meet(ids, vectors)
        done += int(np.isin(ids, seen, assume_unique=True).sum())
        report(done, seen.size)


def permitted_by_any(asked: Sequence[Asked]) -> Ids:
    """Return (n,) ascending ids of the vectors that at least one of them may see."""
    seen = [np.empty(0, np.int64), *(each.permitted for each in asked)]
    return np.unique(np.concatenate(seen))


def pages_of(runtime: Runtime, space_id: int, ids: Ids) -> Iterator[Page]:
    """Yield the intact, live vectors among these, and perhaps others, by ascending id.

    Args:
        runtime: with the database.
        space_id: whose vectors.
        ids: (n,) ascending. Few are looked up, so that the time it takes does not follow from how
            many others there are.
    """
    source = runtime.vector_source(space_id)
    if ids.size > FEW_VECTORS:
        for page in source.live_rows_through(source.current_seq()):
            alive = ~page.dead
            yield page.ids[alive], page.vectors[alive]
        return
    row: Any = table_of(source.space.kind).entity
    query = select(row.id, row.vector, row.crc32).where(
        row.space_id == space_id, row.is_deleted.is_(False)
    )
    for start in range(0, ids.size, PAGE_ROWS):
        part = ids[start : start + PAGE_ROWS].tolist()
        with runtime.reading() as session:
            found = vectors_in(session, query, row.id, part, source.space.dimension)
        if found:
            met = sorted(found)
            yield np.array(met, np.int64), np.stack([found[each] for each in met])
