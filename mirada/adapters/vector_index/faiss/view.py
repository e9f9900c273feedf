"""One moment of an index, immutable, and how a query is answered from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from mirada.adapters.vector_index.access import Ids, Mask
from mirada.adapters.vector_index.faiss.block import Rows
from mirada.adapters.vector_index.faiss.delta import DeltaView
from mirada.adapters.vector_index.faiss.planning import EXACT_ROWS, Planner
from mirada.adapters.vector_index.faiss.searching import Found, finalists, tried
from mirada.adapters.vector_index.faiss.selection import PermittedByScope, PermittedRows
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.errors import InvalidInput
from mirada.kernel.similarity import (
    BACKGROUND_ROWS,
    Match,
    QueryForm,
    SearchWay,
    best_matches,
)
from mirada.kernel.ways import MEASURED, Trust
from mirada.ports import SearchAnswer, SearchPlan


@dataclass(frozen=True, slots=True)
class Asked:
    """The rest of what is asked of a view, beside the queries; see `VectorIndex.search`.

    Attributes:
        k: matches wanted.
        audience: who asks.
        among: (n,) int64 embedding ids, ascending, that a filter lets through; None for all.
        form: of the queries.
        scan_rows: up to how many permitted rows the answer is exact, at least.
    """

    k: int
    audience: Audience
    among: Ids | None = None
    form: QueryForm = QueryForm.PICTURE
    scan_rows: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """Snapshot and delta at one change number. The delta wins; what it replaces is not visible.

    Attributes:
        change_seq: what the view reflects.
        base: who may get which rows of the snapshot, None where there is none.
        visible_count: rows of the snapshot that nothing replaced.
        delta: what changed since.
        planner: of the snapshot, None where there is none.
        exact_rows: up to how many permitted rows are always scanned.
        trust: what serving has taught about the snapshot's ways.
        planning: as in `IndexStatus`.
    """

    change_seq: int
    base: PermittedByScope | None
    visible_count: int
    delta: DeltaView
    planner: Planner | None = None
    exact_rows: int = EXACT_ROWS
    trust: Trust = MEASURED
    planning: Mapping[str, Any] = field(default_factory=dict)

    def search(self, queries: Matrix, asked: Asked) -> list[SearchAnswer]:
        """Answer every query; see `VectorIndex.search`."""
        # One query gains nothing from OpenMP's other threads, and on a busy machine waits 20 ms for
        # them. The number is this thread's own.
        faiss.omp_set_num_threads(1)
        permitted = None if self.base is None else self.base.of(asked.audience, asked.among)
        fresh = self._fresh(asked)
        base_count = 0 if permitted is None else permitted.count
        count = base_count + int(np.count_nonzero(fresh))
        answers = []
        for query in queries:
            matches, plan = self._best(query, asked, permitted, fresh, count)
            answers.append(
                SearchAnswer(
                    matches=matches,
                    plan=plan,
                    permitted_count=count,
                    change_seq=self.change_seq,
                    background=self._background(query, permitted, fresh),
                )
            )
        return answers

    def _fresh(self, asked: Asked) -> Mask:
        """Return which rows of the delta the caller may get."""
        if not self.delta.ids.size:
            return self.delta.live
        mask = self.delta.access.mask(asked.audience, self.delta.ids, asked.among)
        mask &= self.delta.live
        return mask

    def _best(
        self,
        query: Vector,
        asked: Asked,
        permitted: PermittedRows | None,
        fresh: Mask,
        count: int,
    ) -> tuple[list[Match], SearchPlan]:
        if not count:
            return [], SearchPlan(SearchWay.EMPTY)
        found = Found.nothing()
        ids, similarities = [], []
        if permitted is not None and permitted.count:
            assert self.base is not None
            assert self.planner is not None
            steps = self.planner.steps(
                permitted.count,
                asked.k,
                asked.form,
                self.trust,
                max(self.exact_rows, asked.scan_rows),
            )
            found = tried(self.base.base, query, asked.k, permitted, steps)
            ids.append(self.base.base.ids[found.rows])
            similarities.append(self.base.base.vectors.cosines(query, found.rows))
        compared = found.compared
        if self.delta.ids.size:
            rows = finalists(self.delta.vectors, query, asked.k, np.flatnonzero(fresh))
            ids.append(self.delta.ids[rows])
            similarities.append(self.delta.vectors.cosines(query, rows))
            compared += int(np.count_nonzero(fresh))
        matches = best_matches(np.concatenate(ids), np.concatenate(similarities), asked.k)
        return matches, SearchPlan(found.way, found.ef_search, found.depth, compared)

    def _background(
        self, query: Vector, permitted: PermittedRows | None, fresh: Mask
    ) -> npt.NDArray[np.float32]:
        """Return the query's cosines with what comes first in the sampling order of all permitted."""
        fresh_rows: Rows = np.flatnonzero(fresh)
        if permitted is None or not permitted.count:
            first = np.argsort(self.delta.order[fresh_rows])[:BACKGROUND_ROWS]
            return self.delta.vectors.inner_products(query, fresh_rows[first])
        sample = permitted.sample
        if not fresh_rows.size:
            return sample.vectors.inner_products(query)
        order = np.concatenate([sample.order, self.delta.order[fresh_rows]])
        first = np.argsort(order, kind="stable")[:BACKGROUND_ROWS]
        of_base = np.count_nonzero(first < sample.order.size)
        chosen = fresh_rows[first[first >= sample.order.size] - sample.order.size]
        return np.concatenate(
            [
                # The sample is in that order already, so its first ones are those chosen.
                sample.vectors.inner_products(query, stop=int(of_base)),
                self.delta.vectors.inner_products(query, chosen),
            ]
        )


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
