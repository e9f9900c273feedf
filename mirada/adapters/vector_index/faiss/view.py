"""One moment of an index, immutable, and how a query is answered from it."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt

from mirada.adapters.vector_index.access import Ids, Mask
from mirada.adapters.vector_index.faiss.block import Rows, VectorBlock
from mirada.adapters.vector_index.faiss.delta import DeltaView
from mirada.adapters.vector_index.faiss.snapshot import OpenSnapshot
from mirada.adapters.vector_index.faiss.walk_planning import GraphWalk, plan_walk
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.errors import InvalidInput
from mirada.kernel.similarity import BACKGROUND_ROWS, SearchWay, best_matches, sampling_order
from mirada.ports import SearchAnswer, SearchPlan

ROUNDING = 2e-6
"""How far apart two float32 sums of the same 1,024 products may be; ties are settled in float64."""
SCAN_ALL_SHARE = 0.7
"""Reading rows by number costs about 1.4 times reading them in passing, so above this share the
whole block is read."""
NO_ROWS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows that a caller may get, counted before anything is searched."""

    base: Mask
    base_count: int
    delta: Mask
    delta_count: int


@dataclass(frozen=True, slots=True)
class View:
    """Snapshot and delta at one change number. The delta wins; what it replaces is not visible.

    Attributes:
        change_seq: what the view reflects.
        base: the snapshot, None where there is none.
        visible: (rows of base,) bool: False where the delta replaced or buried the row.
        visible_count: how many are True.
        delta: what changed since.
        exact_rows: up to how many permitted rows are always scanned.
    """

    change_seq: int
    base: OpenSnapshot | None
    visible: Mask
    visible_count: int
    delta: DeltaView
    exact_rows: int

    def search(
        self,
        queries: Matrix,
        k: int,
        audience: Audience,
        *,
        among: Ids | None = None,
        scan_rows: int | None = None,
    ) -> list[SearchAnswer]:
        """Answer every query; see `VectorIndex.search`."""
        # One query gains nothing from OpenMP's other threads, and on a busy machine waits 20 ms for
        # them. The number is this thread's own.
        faiss.omp_set_num_threads(1)
        chosen = self._select(audience, among)
        count = chosen.base_count + chosen.delta_count
        answers = []
        background = self._background_rows(chosen)
        exact_rows = max(self.exact_rows, scan_rows or 0)
        for query in queries:
            base_rows, way = self._base_finalists(query, k, chosen, exact_rows)
            delta_rows = finalists(self.delta.vectors, query, k, chosen.delta, chosen.delta_count)
            answers.append(
                SearchAnswer(
                    matches=best_matches(
                        *self._similarities(query, base_rows, delta_rows), min(k, count)
                    ),
                    plan=SearchPlan(way if count else SearchWay.EMPTY),
                    permitted_count=count,
                    change_seq=self.change_seq,
                    background=self._background(query, *background),
                )
            )
        return answers

    def _select(self, audience: Audience, among: Ids | None) -> Selection:
        if self.base is None:
            base = np.zeros(0, bool)
        else:
            base = self.base.access.mask(audience, self.base.ids, among)
            base &= self.visible
        delta = self.delta.access.mask(audience, self.delta.ids, among)
        delta &= self.delta.live
        return Selection(base, int(np.count_nonzero(base)), delta, int(np.count_nonzero(delta)))

    def _similarities(
        self, query: Vector, base_rows: Rows, delta_rows: Rows
    ) -> tuple[Ids, npt.NDArray[np.float64]]:
        ids = [self.delta.ids[delta_rows]]
        similarities = [self.delta.vectors.cosines(query, delta_rows)]
        if self.base is not None:
            ids.append(self.base.ids[base_rows])
            similarities.append(self.base.vectors.cosines(query, base_rows))
        return np.concatenate(ids), np.concatenate(similarities)

    def _base_finalists(
        self, query: Vector, k: int, chosen: Selection, exact_rows: int
    ) -> tuple[Rows, SearchWay]:
        """Return rows among which the k best permitted ones are, and how they were found."""
        if self.base is None or not chosen.base_count:
            return NO_ROWS, SearchWay.EXACT
        walk = plan_walk(
            chosen.base_count, len(self.base.vectors), k, self.base.ef_search, exact_rows
        )
        if walk is not None:
            found = self._walk(query, min(k, chosen.base_count), walk, chosen.base)
            if found is not None:
                return found, SearchWay.HNSW
            wider = walk.wider()
            if wider.is_cheaper_than_scanning(chosen.base_count):
                found = self._walk(query, min(k, chosen.base_count), wider, chosen.base)
                if found is not None:
                    return found, SearchWay.WIDENED
        rows = finalists(self.base.vectors, query, k, chosen.base, chosen.base_count)
        return rows, SearchWay.EXACT

    def _walk(self, query: Vector, k: int, walk: GraphWalk, permitted: Mask) -> Rows | None:
        """Return the k best permitted rows, None when the walk did not reach far enough."""
        assert self.base is not None
        # Parameters travel with the call: efSearch set on the shared index would be everybody's.
        parameters = faiss.SearchParametersHNSW(efSearch=walk.beam, bounded_queue=True)
        _, found = self.base.index.search(query.reshape(1, -1), walk.beam, params=parameters)
        nearest = found[0][found[0] >= 0]
        positions = np.flatnonzero(permitted[nearest])
        if positions.size < k or not walk.reaches(int(positions[k - 1]) + 1):
            return None
        # A few more than k, so that ties by rounding are settled by id and not by the graph.
        rows: Rows = nearest[positions[: k + 16]]
        return rows

    def _background_rows(self, chosen: Selection) -> tuple[Rows, Rows]:
        """Return the permitted rows of base and delta that come first in the sampling order."""
        base_rows = NO_ROWS
        base_order = np.empty(0, np.uint64)
        if self.base is not None and chosen.base_count:
            base_rows = self.base.sample[chosen.base[self.base.sample]]
            if base_rows.size < min(BACKGROUND_ROWS, chosen.base_count):
                base_rows = np.flatnonzero(chosen.base)
            base_order = sampling_order(self.base.ids[base_rows])
        delta_rows = np.flatnonzero(chosen.delta)
        order = np.concatenate([base_order, self.delta.order[delta_rows]])
        if order.size > 4 * BACKGROUND_ROWS:
            few = np.argpartition(order, BACKGROUND_ROWS)[:BACKGROUND_ROWS]
            first = few[np.argsort(order[few])]
        else:
            first = np.argsort(order)[:BACKGROUND_ROWS]
        return base_rows[first[first < base_rows.size]], delta_rows[
            first[first >= base_rows.size] - base_rows.size
        ]

    def _background(
        self, query: Vector, base_rows: Rows, delta_rows: Rows
    ) -> npt.NDArray[np.float32]:
        scores = [self.delta.vectors.inner_products(query, delta_rows)]
        if self.base is not None:
            scores.append(self.base.vectors.inner_products(query, base_rows))
        return np.concatenate(scores)


def finalists(vectors: VectorBlock, query: Vector, k: int, permitted: Mask, count: int) -> Rows:
    """Scan the permitted rows and return those that may be among the k best, in no order.

    Args:
        vectors: the block.
        query: (d,).
        k: matches wanted.
        permitted: (n,) bool.
        count: how many are True.
    """
    if not count:
        return NO_ROWS
    rows: Rows = np.flatnonzero(permitted)
    if count <= k:
        return rows
    if count > SCAN_ALL_SHARE * len(vectors):
        scores = vectors.inner_products(query)
        scores = scores if count == len(vectors) else scores[rows]
    else:
        scores = vectors.inner_products(query, rows)
    kth_best = np.partition(scores, count - k)[count - k]
    close: Rows = rows[scores >= kth_best - ROUNDING]
    return close


def check_queries(queries: Matrix, k: int, dimension: int) -> Matrix:
    """Return the queries as C-contiguous (n, dimension) float32.

    Raises:
        InvalidInput: k < 1, wrong dimension, or a query that is not finite.
    """
    if k < 1:
        raise InvalidInput("The number of results must be at least 1.")
    if queries.ndim != 2 or queries.shape[1] != dimension:
        raise InvalidInput(
            f"A query vector must have {dimension} numbers, not {queries.shape[-1]}."
        )
    if not np.isfinite(queries).all():
        raise InvalidInput("A query vector may hold finite numbers only, not NaN or infinity.")
    return np.ascontiguousarray(queries, dtype=np.float32)
