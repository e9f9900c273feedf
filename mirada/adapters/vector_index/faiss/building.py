"""Build an index from the database's rows and measure, against exact answers, how to search it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import faiss
import numpy as np
import numpy.typing as npt

from mirada.adapters.vector_index.access import Ids, Mask
from mirada.adapters.vector_index.faiss.block import VectorBlock, storage_of
from mirada.kernel.embeddings import Matrix
from mirada.ports import RebuildProgress, VectorSource

HNSW_MIN_ROWS = 20_000
"""Below it a scan of everything takes 3 to 4 ms (docs/decisions/0003)."""
HNSW_M = 32
EF_CONSTRUCTION = 128
"""SEARCH: 99.3 % of the true ten nearest at ef_search = 128, where M = 16 and 64 found 89 %."""
EF_LADDER = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)
RECALL_K = 10
HELD_OUT_QUERIES = 256
"""A recall of 0.98 among 2,560 neighbours is known to within 0.006 (two standard errors)."""
BLENDED_QUERIES = 128
"""Means of two unrelated pictures' queries. They lie off the pictures' distribution as texts do, and
are as much harder to walk to: at 30,000 rows a beam of 16 found 99 % of what held-out rows ask for
and 69 % of what blends do; 128 found 99.8 %."""
PERTURBATION = 0.35
"""Length of the random vector added to a unit row; the query's cosine with it is then about 0.94."""
CANARIES = 50
ADD_ROWS = 1_000
"""Rows between two reports of progress: about a second of building."""


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """An index in memory, ready to be written.

    Attributes:
        index: IndexFlatIP or IndexHNSWFlat.
        kind: "flat" or "hnsw".
        ids: (n,) int64 per row, ascending.
        access_rows, access_owners, access_public: (m,) as in VectorRows, in rows of this index.
        parameters: hnsw_m, ef_construction, ef_search (None: no beam reached the target).
        recall: what was measured, for the manifest.
        canary_queries: (c, d).
        canary_ids: (c, k) int64 the exact answers.
    """

    index: Any
    kind: str
    ids: Ids
    access_rows: Ids
    access_owners: Ids
    access_public: Mask
    parameters: dict[str, Any]
    recall: dict[str, Any]
    canary_queries: Matrix
    canary_ids: Ids


class _Rows(NamedTuple):
    """Embedding ids by row of an index, and who may see the rows, as BuiltIndex has them."""

    ids: Ids
    access_rows: Ids
    access_owners: Ids
    access_public: Mask


def build_index(
    source: VectorSource,
    change_seq: int,
    progress: RebuildProgress,
    *,
    recall_target: float,
    hnsw_min_rows: int = HNSW_MIN_ROWS,
    threads: int | None = None,
    extra_queries: Callable[[], Matrix] | None = None,
) -> BuiltIndex | None:
    """Build from the live rows with change_seq up to the given one; None when there are none.

    Args:
        source: read in pages; the vectors are held once, by the index.
        change_seq: the state of the database to build.
        progress: called about once a second; what it raises ends the build.
        recall_target: least recall@10 against exact search that the chosen ef_search must reach.
        hnsw_min_rows: from how many rows on a graph is built.
        threads: that build; None leaves one core to those who search meanwhile.
        extra_queries: asked when a graph is built; returns (q, d) unit rows of another kind, such as
            texts. These lie off the pictures' distribution and must reach the target on their own.
    """
    total = source.count_live()
    index = _empty_index(source.space.dimension, total >= hnsw_min_rows)
    with _threads(threads or max(1, (os.cpu_count() or 1) - 1)):
        rows = _filled(index, source, change_seq, total, progress)
        if rows is None:
            return None
        held_out = _held_out_queries(VectorBlock.of_index(index), index)
        is_graph = isinstance(index, faiss.IndexHNSWFlat)
        groups = {"held_out": held_out}
        if is_graph and extra_queries is not None and len(extra := extra_queries()):
            groups["extra"] = extra
        parameters, recall = (
            _measure(index, groups, recall_target) if is_graph else ({}, {"exact": 1.0})
        )
        canary_queries = held_out[:CANARIES]
        _, canary_rows = storage_of(index).search(canary_queries, min(RECALL_K, index.ntotal))
    return BuiltIndex(
        index=index,
        kind="hnsw" if is_graph else "flat",
        ids=rows.ids,
        access_rows=rows.access_rows,
        access_owners=rows.access_owners,
        access_public=rows.access_public,
        parameters=parameters,
        recall=recall,
        canary_queries=canary_queries,
        canary_ids=rows.ids[canary_rows],
    )


def _filled(
    index: Any, source: VectorSource, change_seq: int, total: int, progress: RebuildProgress
) -> _Rows | None:
    """Add the live rows to the index and return what belongs to them; None when there are none."""
    pages: list[_Rows] = []
    for page in source.live_rows_through(change_seq):
        start = int(index.ntotal)
        alive = np.flatnonzero(~page.dead)
        row_of = np.full(page.ids.size, -1, np.int64)
        row_of[alive] = np.arange(start, start + alive.size)
        access_rows = row_of[page.access_rows]
        pages.append(_Rows(page.ids[alive], access_rows, page.access_owners, page.access_public))
        for first in range(0, alive.size, ADD_ROWS):
            index.add(page.vectors[alive[first : first + ADD_ROWS]])
            progress(int(index.ntotal), max(total, int(index.ntotal)))
    if not index.ntotal:
        return None
    return _Rows(*(np.concatenate(parts) for parts in zip(*pages, strict=True)))


def _empty_index(dimension: int, as_graph: bool) -> Any:
    if not as_graph:
        return faiss.IndexFlatIP(dimension)
    index = faiss.IndexHNSWFlat(dimension, HNSW_M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    return index


def _measure(
    index: Any, groups: dict[str, Matrix], target: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters with the smallest sufficient ef_search, and the recalls seen."""
    k = min(RECALL_K, int(index.ntotal))
    groups = groups | {"blended": _blended(groups["held_out"])}
    exact = {
        name: storage_of(index).search(queries, k)[0][:, -1:] for name, queries in groups.items()
    }
    steps: list[dict[str, Any]] = []
    chosen: int | None = None
    for ef_search in EF_LADDER:
        walk = faiss.SearchParametersHNSW(efSearch=ef_search, bounded_queue=True)
        step: dict[str, Any] = {"ef_search": ef_search}
        for name, queries in groups.items():
            found, _ = index.search(queries, k, params=walk)
            # By similarity, not by id: of two equal neighbours either one is right.
            step[name] = round(float(np.mean(found >= exact[name] - 1e-6)), 4)
        steps.append(step)
        if min(step[name] for name in groups) >= target:
            chosen = ef_search
            break
    parameters = {"hnsw_m": HNSW_M, "ef_construction": EF_CONSTRUCTION, "ef_search": chosen}
    return parameters, {
        "k": k,
        "target": target,
        "at_ef_search": steps[-1],
        "queries": {name: len(queries) for name, queries in groups.items()},
        "steps": steps,
    }


def _held_out_queries(vectors: VectorBlock, index: Any) -> Matrix:
    rng = np.random.default_rng(int(index.ntotal))
    rows = rng.integers(0, len(vectors), HELD_OUT_QUERIES)
    noise = rng.standard_normal((HELD_OUT_QUERIES, index.d))
    noise *= PERTURBATION / np.linalg.norm(noise, axis=1, keepdims=True)
    return _unit(vectors.take(rows) + noise)


def _blended(queries: Matrix) -> Matrix:
    return _unit(queries[:BLENDED_QUERIES] + queries[-BLENDED_QUERIES:])


def _unit(rows: npt.NDArray[Any]) -> Matrix:
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    # OpenMP keeps this number per calling thread, so those who search are not affected.
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
