"""The honest index: every vector in memory, every answer a full scan, every refresh a full read.

It says what the index in use must answer.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from mirada.adapters.vector_index.faiss.following import wait_until
from mirada.adapters.vector_index.faiss.view import check_queries
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import Matrix, Vector
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
    VectorSource,
)


@dataclass(frozen=True, slots=True)
class _Row:
    vector: Vector
    shown_by: tuple[tuple[int, bool], ...]
    """(owner, is public) of every image with this content; (-user, False) of who remembers it."""


class ExactIndex:
    """A VectorIndex without cleverness. Thread-safe: a refresh swaps the whole dictionary."""

    def __init__(self, source: VectorSource) -> None:
        """Keep the source; the first search or refresh reads it."""
        self._source = source
        self._lock = threading.Lock()
        self._state: tuple[int, dict[int, _Row]] | None = None

    def search(
        self,
        queries: Matrix,
        k: int,
        scope: Scope,
        *,
        form: QueryForm = QueryForm.PICTURE,
        scan_rows: int | None = None,
    ) -> list[SearchAnswer]:
        """Return the best min(k, permitted) of every query. Raises InvalidInput."""
        queries = check_queries(queries, k, self._source.space.dimension)
        change_seq, rows = self._loaded()
        is_narrow = not scope.filter.is_everything
        wanted = set(self._source.passing(scope).tolist()) if is_narrow else None
        seen = [
            id_
            for id_, row in rows.items()
            if (wanted is None or id_ in wanted) and _may_be_seen(row, scope.audience)
        ]
        ids = np.array(seen, np.int64)
        vectors = np.array([rows[id_].vector for id_ in seen], np.float32).reshape(
            len(seen), self._source.space.dimension
        )
        sample = np.argsort(sampling_order(ids))[:BACKGROUND_ROWS]
        answers = []
        for query in queries:
            similarities = cosines(vectors, query) if seen else np.empty(0)
            answers.append(
                SearchAnswer(
                    matches=best_matches(ids, similarities, k),
                    plan=SearchPlan(SearchWay.EXACT if seen else SearchWay.EMPTY),
                    permitted_count=len(seen),
                    change_seq=change_seq,
                    background=similarities[sample].astype(np.float32),
                )
            )
        return answers

    def refresh(self) -> int:
        """Read everything again if anything was committed; return the number now reflected."""
        with self._lock:
            change_seq = self._source.current_seq()
            if self._state is not None and self._state[0] == change_seq:
                return change_seq
            rows: dict[int, _Row] = {}
            start = 0
            # Pages are transactions of their own, so what moved meanwhile is read again until
            # nothing did.
            while True:
                page = self._source.changes_since(start, 5_000)
                if not page.ids.size:
                    break
                start = int(page.change_seqs[-1])
                shown_by: list[list[tuple[int, bool]]] = [[] for _ in page.ids]
                for position, owner_id, is_public in zip(
                    page.access_rows.tolist(),
                    page.access_owners.tolist(),
                    page.access_public.tolist(),
                    strict=True,
                ):
                    shown_by[position].append((owner_id, is_public))
                for position, id_ in enumerate(page.ids.tolist()):
                    rows[id_] = _Row(page.vectors[position], tuple(shown_by[position]))
                    if page.dead[position]:
                        del rows[id_]
            change_seq = max(change_seq, start)
            self._state = (change_seq, rows)
            return change_seq

    def wait_for(self, change_seq: int, timeout_s: float = 2.0) -> None:
        """Return as soon as searches reflect that change number. Raises Unavailable."""
        wait_until(
            lambda: self._state is not None and self._state[0] >= change_seq,
            self.refresh,
            timeout_s,
        )

    def rebuild(self, fencing_token: int, progress: RebuildProgress) -> SnapshotRecord | None:
        """Return None: there is nothing to build."""
        return None

    def set_trust(self, trust: Trust) -> None:
        """Do nothing: every answer is exact."""

    def tune(self) -> IndexStatus:
        """Measure nothing: there is one way."""
        return self.status()

    def status(self) -> IndexStatus:
        """Return what this process serves from; see `VectorIndex.status`. Raises Unavailable."""
        return _status_of(*self._loaded())

    def known_status(self) -> IndexStatus | None:
        """Return the same without loading anything; None while nothing is loaded."""
        state = self._state
        return None if state is None else _status_of(*state)

    def close(self) -> None:
        """Let go of the vectors."""
        self._state = None

    def _loaded(self) -> tuple[int, dict[int, _Row]]:
        while (state := self._state) is None:
            self.refresh()
        return state


def _status_of(change_seq: int, rows: dict[int, _Row]) -> IndexStatus:
    return IndexStatus(
        backend="exact",
        change_seq=change_seq,
        live_count=len(rows),
        dead_count=0,
        delta_count=len(rows),
        snapshot=None,
        snapshot_change_seq=None,
        kind="none",
        parameters={},
        recall={},
    )


def _may_be_seen(row: _Row, audience: Audience) -> bool:
    return any(
        (audience.with_remembered and owner_id == -(audience.viewer_id or 0))
        or (
            (is_public or owner_id == audience.viewer_id)
            and (audience.owner_ids is None or owner_id in audience.owner_ids)
        )
        for owner_id, is_public in row.shown_by
    )
