"""Make pgvector's graph and measure how to walk it, while searches and changes go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mirada.adapters.vector_index.pgvector.measuring import (
    RECALL_K,
    best_cosines,
    measure,
    probes,
)
from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.similarity import BACKGROUND_ROWS
from mirada.ports import RebuildProgress, VectorCopies, VectorSource

GRAPHS = ((16, 64), (32, 128))
"""m and ef_construction: pgvector's own first, and more where no beam reaches the recall target."""
MORE = 32
"""Found beyond k, so that rounding of the copies and ties are settled by the stored vectors."""
DEAD_SHARE, LEAST_DEAD_ROWS = 0.1, 500
"""From how many replaced or deleted rows on the graph is made anew."""


def make_graph(
    source: VectorSource,
    copies: VectorCopies,
    change_seq: int,
    total: int,
    progress: RebuildProgress,
    *,
    recall_target: float,
    extra_queries: Callable[[], Matrix] | None,
) -> None:
    """Build where there is no graph or much of it is dead; measure where anything has changed.

    Args:
        source: the stored vectors, to measure against.
        copies: what the graph is over.
        change_seq: the state of the database that is measured.
        total: vectors there are.
        progress: called about once a second; what it raises ends it.
        recall_target: least recall@10 of each form of query.
        extra_queries: returns (q, d) vectors of texts.
    """
    with copies.moment() as moment:
        before, sample = moment.graph, moment.sample(None, BACKGROUND_ROWS, are_few=False)
    if before is not None and before["change_seq"] == change_seq:
        return
    texts = extra_queries() if extra_queries else np.empty((0, 0), np.float32)
    groups = probes(sample, texts, seed=total)
    exact = best_cosines(source, change_seq, groups)
    least_m = 0 if before is None else before["hnsw_m"]
    for m, ef_construction in (choice for choice in GRAPHS if choice[0] >= least_m):
        if m != least_m or _is_mostly_dead(source, before):
            copies.graph.build(total, m, ef_construction, progress)
        beams, seen = measure(
            groups, exact, _walker(copies), recall_target, lambda: progress(total, total)
        )
        if all(beams.values()):
            break
    copies.graph.describe(
        {
            "hnsw_m": m,
            "ef_construction": ef_construction,
            "ef_search": beams,
            "recall": seen,
            "rows": total,
            "change_seq": change_seq,
            "measured_at": datetime.now(UTC).isoformat(),
        }
    )


def _walker(copies: VectorCopies) -> Callable[[Vector, int], Matrix]:
    def walk(query: Vector, width: int) -> Matrix:
        with copies.moment() as moment:
            return moment.walk(query, RECALL_K + MORE, width, None).vectors

    return walk


def _is_mostly_dead(source: VectorSource, graph: Mapping[str, Any] | None) -> bool:
    if graph is None:
        return True
    added = max(0, source.count_live() - graph["rows"])
    replaced = source.count_changed_since(graph["change_seq"]) - added
    return bool(replaced >= max(LEAST_DEAD_ROWS, DEAD_SHARE * graph["rows"]))
