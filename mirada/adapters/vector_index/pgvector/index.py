"""The index that PostgreSQL keeps: every search is one transaction, so it reflects its own commits."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from mirada.adapters.vector_index.faiss.following import wait_until
from mirada.adapters.vector_index.faiss.view import check_queries
from mirada.adapters.vector_index.pgvector.building import MORE, make_graph
from mirada.adapters.vector_index.pgvector.planning import EXACT_ROWS, beam, ways
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.errors import Unavailable
from mirada.kernel.similarity import (
    BACKGROUND_ROWS,
    QueryForm,
    SearchWay,
    best_matches,
    cosines,
)
from mirada.kernel.ways import MEASURED, Trust
from mirada.ports import (
    CopiesAtOneTime,
    IndexStatus,
    Near,
    RebuildProgress,
    SearchAnswer,
    SearchPlan,
    SnapshotRecord,
    VectorCopies,
    VectorSource,
)

if TYPE_CHECKING:
    from sqlalchemy import Select

logger = logging.getLogger(__name__)

GRAPH_MIN_ROWS = 20_000
"""Fewer vectors are compared, all of them."""
ROUNDING = 2.0**-10
"""How far a copy's inner product may be from the cosine: 2^-11 for the copy and as much for the query."""
SCOPES_KEPT = 64
"""What so many scopes permit is remembered: a number and a megabyte of samples for each."""


@dataclass(frozen=True, slots=True)
class _Permitted:
    """The vectors that one scope permits at one change number: how many, and a sample of them."""

    count: int
    sample: Matrix


class PgvectorIndex:
    """A VectorIndex over the copies that PostgreSQL keeps. Searches take no lock."""

    def __init__(
        self,
        source: VectorSource,
        copies: VectorCopies,
        *,
        recall_target: float,
        graph_min_rows: int = GRAPH_MIN_ROWS,
        exact_rows: int = EXACT_ROWS,
        extra_queries: Callable[[], Matrix] | None = None,
    ) -> None:
        """Keep what is needed; nothing is read yet.

        Args:
            source: one space's rows, and what a scope permits of them.
            copies: where PostgreSQL searches.
            recall_target: recall@10 that a walk must reach, in (0, 1].
            graph_min_rows: from how many vectors on a rebuild makes a graph.
            exact_rows: up to how many permitted vectors are always compared.
            extra_queries: returns (q, d) vectors of texts to measure with.
        """
        self._source = source
        self._copies = copies
        self._recall_target = recall_target
        self._graph_min_rows = graph_min_rows
        self._exact_rows = exact_rows
        self._extra_queries = extra_queries
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[int, Scope], _Permitted] = OrderedDict()
        self._status: IndexStatus | None = None
        self._trust: tuple[int | None, Trust] = (None, MEASURED)

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
        scope = scope.with_none_left_out()
        permitted = self._source.permitted(scope)
        exact_rows = max(self._exact_rows, scan_rows or 0)
        answers = []
        with self._copies.moment() as moment:
            known = self._permitted(moment, scope, permitted)
            for query in queries:
                near, plan = self._found(moment, query, k, permitted, known.count, form, exact_rows)
                answers.append(
                    SearchAnswer(
                        matches=best_matches(near.ids, cosines(near.vectors, query), k),
                        plan=plan,
                        permitted_count=known.count,
                        change_seq=moment.change_seq,
                        background=cosines(known.sample, query).astype(np.float32),
                    )
                )
        return answers

    def refresh(self) -> int:
        """Return the last committed number: that is what searches reflect. Raises Unavailable."""
        status = self._status
        change_seq = self._source.current_seq()
        if status is None or status.change_seq != change_seq:
            status = self.status()
        return status.change_seq

    def wait_for(self, change_seq: int, timeout_s: float = 2.0) -> None:
        """Return as soon as that number is committed. Raises Unavailable."""
        wait_until(lambda: self._source.current_seq() >= change_seq, lambda: None, timeout_s)

    def rebuild(self, fencing_token: int, progress: RebuildProgress) -> SnapshotRecord | None:
        """Make the graph, or measure it anew where enough has changed; return None: no file is made.

        Raises:
            LeaseLost: another builder took over.
        """
        change_seq = self._source.current_seq()
        total = self._source.count_live()
        progress(0, total)
        if total < self._graph_min_rows:
            self._copies.graph.remove()
        else:
            make_graph(
                self._source,
                self._copies,
                change_seq,
                total,
                progress,
                recall_target=self._recall_target,
                extra_queries=self._extra_queries,
            )
        try:
            self._source.purge_tombstones()
        except Unavailable as error:
            logger.warning("Tombstones were not purged: %s", error)
        return None

    def set_trust(self, trust: Trust) -> None:
        """Walk from now on as far as serving has shown it to be right; see `VectorIndex.set_trust`."""
        status = self._status
        self._trust = (None if status is None else status.snapshot_change_seq, trust)

    def _trusted(self, graph: Mapping[str, Any] | None) -> Trust:
        about, trust = self._trust
        return trust if graph is not None and graph["change_seq"] == about else MEASURED

    def tune(self) -> IndexStatus:
        """Measure nothing: PostgreSQL has costs of its own."""
        return self.status()

    def status(self) -> IndexStatus:
        """Return what searches use; see `VectorIndex.status`. Raises Unavailable."""
        with self._copies.moment() as moment:
            graph = moment.graph
            live = self._source.count_live()
        since = 0 if graph is None else graph["change_seq"]
        parameters: dict[str, Any] = {"pgvector": self._copies.graph.version()}
        if graph is not None:
            parameters |= {
                "hnsw_m": graph["hnsw_m"],
                "ef_construction": graph["ef_construction"],
                "ef_search": graph["ef_search"][QueryForm.PICTURE],
                "ef_search_by_form": dict(graph["ef_search"]),
                "index_bytes": self._copies.graph.byte_size(),
            }
        self._status = IndexStatus(
            backend="pgvector",
            change_seq=moment.change_seq,
            live_count=live,
            dead_count=0,
            delta_count=0 if graph is None else self._source.count_changed_since(since),
            # Lessons of serving are kept by this name; a graph that is measured anew begins without.
            snapshot=None if graph is None else f"pgvector-{since}",
            snapshot_change_seq=None if graph is None else since,
            kind="none" if graph is None else "hnsw",
            parameters=parameters,
            recall={} if graph is None else graph["recall"],
            snapshot_created_at=None
            if graph is None
            else datetime.fromisoformat(graph["measured_at"]),
            ways=ways(graph, self._trusted(graph)),
        )
        return self._status

    def known_status(self) -> IndexStatus | None:
        """Return the last known state; None before the first."""
        return self._status

    def close(self) -> None:
        """Let go of what is remembered."""
        with self._lock:
            self._known.clear()
            self._status = None

    def _found(
        self,
        moment: CopiesAtOneTime,
        query: Vector,
        k: int,
        permitted: Select[int],
        count: int,
        form: QueryForm,
        exact_rows: int,
    ) -> tuple[Near, SearchPlan]:
        if not count:
            nothing = np.empty((0, query.size), np.float32)
            return Near(np.empty(0, np.int64), nothing, None), SearchPlan(SearchWay.EMPTY)
        wanted = min(k, count)
        live = 0 if moment.graph is None else moment.graph["rows"]
        trust = self._trusted(moment.graph)
        width = beam(moment.graph, form, k, count, live, exact_rows, trust)
        if width is not None:
            near = moment.walk(query, wanted + MORE, width, permitted)
            if near.ids.size >= wanted and not _ends_in_a_tie(near, query, wanted):
                return near, SearchPlan(SearchWay.HNSW, ef_search=width, candidates=near.ids.size)
        near = moment.scan(query, wanted + MORE, permitted)
        if near.last is not None:
            nearest = np.sort(cosines(near.vectors, query))[::-1]
            kth = float(nearest[wanted - 1]) if nearest.size >= wanted else -1.0
            if kth < near.last + ROUNDING:
                near = moment.scan(query, count, permitted, within=kth - ROUNDING)
        return near, SearchPlan(SearchWay.EXACT, candidates=count)

    def _permitted(
        self, moment: CopiesAtOneTime, scope: Scope, permitted: Select[int]
    ) -> _Permitted:
        """Return what a scope permits; remembered while nothing changes that visibility depends on."""
        key = (moment.change_seq, scope)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        count = moment.count(permitted)
        sample = moment.sample(permitted, BACKGROUND_ROWS, are_few=count <= EXACT_ROWS)
        known = _Permitted(count, sample)
        with self._lock:
            self._known[key] = known
            while len(self._known) > SCOPES_KEPT:
                self._known.popitem(last=False)
        return known


def _ends_in_a_tie(near: Near, query: Vector, wanted: int) -> bool:
    """Return whether rows as near as the last wanted one may have been cut off."""
    if near.last is None:
        return False
    similarities = np.sort(cosines(near.vectors, query))[::-1]
    kth, last = float(similarities[wanted - 1]), float(similarities[-1])
    return kth == last
