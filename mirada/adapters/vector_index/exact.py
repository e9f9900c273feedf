"""The plain index: every vector in this process's memory, and every permitted one compared."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from mirada.adapters.vector_index.access import AccessTable, Ids, Mask
from mirada.adapters.vector_index.faiss.following import wait_until
from mirada.adapters.vector_index.faiss.view import check_queries
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.errors import Unavailable
from mirada.kernel.similarity import (
    BACKGROUND_ROWS,
    QueryForm,
    SearchWay,
    best_matches,
    cosines,
    sampling_order,
)
from mirada.kernel.ways import Trust
from mirada.ports import (
    IndexStatus,
    RebuildProgress,
    SearchAnswer,
    SearchPlan,
    SnapshotRecord,
    VectorRows,
    VectorSource,
)

PAGE_ROWS = 5_000
LOAD_ATTEMPTS = 5
"""Loads that a purge of tombstones may overtake before we say so."""
ROUNDING = 2e-6
"""How far apart two float32 sums of the same products may be; what is that near is summed in float64."""


@dataclass(frozen=True, slots=True)
class _State:
    """The live rows at one change number. Immutable.

    Attributes:
        db_epoch: identity of the database that they were read from.
        change_seq: what they reflect.
        ids: (n,) int64.
        vectors: (n, d) float32.
        access_rows, access_owners, access_public: (m,) as in VectorRows.
        access: the same, to answer from.
    """

    db_epoch: str
    change_seq: int
    ids: Ids
    vectors: Matrix
    access_rows: Ids
    access_owners: Ids
    access_public: Mask
    access: AccessTable

    @classmethod
    def empty(cls, db_epoch: str, dimension: int) -> Self:
        """Return the state before the first change."""
        ids, public = np.empty(0, np.int64), np.empty(0, bool)
        vectors = np.empty((0, dimension), np.float32)
        return cls._of(db_epoch, 0, ids, vectors, ids, ids, public)

    def after(self, rows: VectorRows) -> Self:
        """Return the state with changes applied, those of one page."""
        kept, alive = ~np.isin(self.ids, rows.ids), ~rows.dead
        moved = np.cumsum(kept) - 1
        fresh = np.count_nonzero(kept) + np.cumsum(alive) - 1
        old, new = kept[self.access_rows], alive[rows.access_rows]
        return self._of(
            self.db_epoch,
            int(rows.change_seqs[-1]),
            np.concatenate([self.ids[kept], rows.ids[alive]]),
            np.concatenate([self.vectors[kept], rows.vectors[alive]]),
            np.concatenate([moved[self.access_rows[old]], fresh[rows.access_rows[new]]]),
            np.concatenate([self.access_owners[old], rows.access_owners[new]]),
            np.concatenate([self.access_public[old], rows.access_public[new]]),
        )

    def through(self, change_seq: int) -> Self:
        """Return the same rows, which are also those of a later number."""
        return replace(self, change_seq=max(change_seq, self.change_seq))

    @classmethod
    def _of(
        cls,
        db_epoch: str,
        change_seq: int,
        ids: Ids,
        vectors: Matrix,
        rows: Ids,
        owners: Ids,
        public: Mask,
    ) -> Self:
        access = AccessTable.build(ids.size, rows, owners, public)
        return cls(db_epoch, change_seq, ids, vectors, rows, owners, public, access)


class ExactIndex:
    """A VectorIndex without a structure to build or to tune. Thread-safe: a refresh swaps its state.

    For small collections, and to compare others with.
    """

    def __init__(self, source: VectorSource) -> None:
        """Keep the source; the first search or refresh reads it."""
        self._source = source
        self._refreshing = threading.Lock()
        self._state: _State | None = None

    def search(
        self,
        queries: Matrix,
        k: int,
        scope: Scope,
        *,
        form: QueryForm = QueryForm.PICTURE,
        scan_rows: int | None = None,
    ) -> list[SearchAnswer]:
        """Return one answer per query row. Raises InvalidInput, Unavailable."""
        queries = check_queries(queries, k, self._source.space.dimension)
        passing = None if scope.filter.is_everything else self._source.passing(scope)
        state = self._loaded()
        rows = np.flatnonzero(state.access.mask(scope.audience, state.ids, passing))
        ids, vectors = state.ids[rows], state.vectors[rows]
        sample = vectors[np.argsort(sampling_order(ids))[:BACKGROUND_ROWS]]
        way = SearchWay.EXACT if rows.size else SearchWay.EMPTY
        answers = []
        for query in queries:
            near = _nearest(vectors, query, k)
            answers.append(
                SearchAnswer(
                    matches=best_matches(ids[near], cosines(vectors[near], query), k),
                    plan=SearchPlan(way, candidates=rows.size),
                    permitted_count=rows.size,
                    change_seq=state.change_seq,
                    background=cosines(sample, query).astype(np.float32),
                )
            )
        return answers

    def refresh(self) -> int:
        """Catch up with the database. Raises Unavailable."""
        with self._refreshing:
            state, current_seq = self._state, self._source.current_seq()
            db_epoch = self._source.db_epoch()
            for _ in range(LOAD_ATTEMPTS):
                if state is None or state.change_seq > current_seq or state.db_epoch != db_epoch:
                    state = _State.empty(db_epoch, self._source.space.dimension)
                caught_up = self._caught_up(state, current_seq)
                if caught_up is not None:
                    self._state = caught_up
                    return caught_up.change_seq
                state = None
        raise Unavailable("The vectors cannot be read while many are deleted; try again.")

    def wait_for(self, change_seq: int, timeout_s: float = 2.0) -> None:
        """Return as soon as searches reflect that change number. Raises Unavailable."""

        def reached() -> bool:
            state = self._state
            return state is not None and state.change_seq >= change_seq

        wait_until(reached, self.refresh, timeout_s)

    def rebuild(self, fencing_token: int, progress: RebuildProgress) -> SnapshotRecord | None:
        """Purge tombstones and return None: there is nothing to build."""
        self._source.purge_tombstones()
        return None

    def set_trust(self, trust: Trust) -> None:
        """Do nothing: every answer is exact."""

    def tune(self) -> IndexStatus:
        """Measure nothing: there is one way."""
        return self.status()

    def status(self) -> IndexStatus:
        """Return what this process serves from; see `VectorIndex.status`. Raises Unavailable."""
        return _status_of(self._loaded())

    def known_status(self) -> IndexStatus | None:
        """Return the same without loading anything; None while nothing is loaded."""
        state = self._state
        return None if state is None else _status_of(state)

    def close(self) -> None:
        """Let go of the vectors."""
        self._state = None

    def _loaded(self) -> _State:
        while (state := self._state) is None:
            self.refresh()
        return state

    def _caught_up(self, state: _State, current_seq: int) -> _State | None:
        """Return the state at that number or a later one; None when tombstones may have been missed."""
        start = state.change_seq
        if start == current_seq:
            return state
        while True:
            rows = self._source.changes_since(state.change_seq, PAGE_ROWS)
            if rows.ids.size:
                state = state.after(rows)
            if rows.ids.size < PAGE_ROWS:
                break
        # Asked after reading: a purge in between has raised the floor by now. From the beginning every
        # row that is left is read, so none is missed.
        if start and self._source.tombstone_floor() > start:
            return None
        return state.through(current_seq)


def _nearest(vectors: Matrix, query: Vector, k: int) -> npt.NDArray[np.int64]:
    """Return the rows that may be among the k nearest, in no order."""
    if len(vectors) <= k:
        return np.arange(len(vectors))
    scores = vectors @ query
    kth_best = np.partition(scores, scores.size - k)[scores.size - k]
    return np.flatnonzero(scores >= kth_best - ROUNDING)


def _status_of(state: _State) -> IndexStatus:
    return IndexStatus(
        backend="exact",
        change_seq=state.change_seq,
        live_count=int(state.ids.size),
        dead_count=0,
        delta_count=0,
        snapshot=None,
        snapshot_change_seq=None,
        kind="none",
        parameters={},
        recall={"exact": 1.0},
    )
