"""Engines that the search benchmark compares in its own process: bare libraries by hand, and ours."""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.search_source import MemorySource
from benchmarks.search_vectors import DIMENSION, Mask
from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.similarity import QueryForm

Rows = np.ndarray
Search = Callable[[Vector, int, QueryForm], Rows]
"""Returns the rows that were found for one query."""
M, EF_CONSTRUCTION, EF_SEARCH = 32, 128, 128
"""Of the graphs by hand: what ours has, and a beam that finds 99 % of pictures' neighbours."""


@dataclass
class Engine:
    """One engine over one collection.

    Attributes:
        name: in the tables.
        search: over all rows.
        within: by the name of a subset, over that; empty where the engine has no filter.
        build_cpu_s: processor time of the build, all threads.
        bytes_a_vector: what a search touches, without the stored vectors where they are touched for
            finalists alone.
        notes: of the build, for the page.
    """

    name: str
    search: Search
    within: Mapping[str, Search] = field(default_factory=dict)
    build_cpu_s: float = 0.0
    bytes_a_vector: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)


def flat(vectors: Matrix, subsets: Mapping[str, Mask]) -> Engine:
    """Return FAISS's exact index; filtered by a bitmap."""
    began = time.process_time()
    index = faiss.IndexFlatIP(DIMENSION)
    index.add(vectors)
    spent = time.process_time() - began

    def search(query: Vector, k: int, _: QueryForm) -> Rows:
        return _rows(index.search(query[None], k)[1])

    def within(mask: Mask) -> Search:
        selector = _Bitmap(mask)

        def search_in(query: Vector, k: int, _: QueryForm) -> Rows:
            parameters = faiss.SearchParameters(sel=selector.selector)
            return _rows(index.search(query[None], k, params=parameters)[1])

        return search_in

    return Engine(
        "faiss flat", search, {n: within(m) for n, m in subsets.items()}, spent, 4 * DIMENSION
    )


def hnsw(vectors: Matrix, subsets: Mapping[str, Mask]) -> Engine:
    """Return FAISS's graph by hand; filtered by a bitmap inside the walk."""
    began = time.process_time()
    index = faiss.IndexHNSWFlat(DIMENSION, M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    faiss.omp_set_num_threads(2)
    index.add(vectors)
    faiss.omp_set_num_threads(1)
    spent = time.process_time() - began
    plain = faiss.SearchParametersHNSW(efSearch=EF_SEARCH)

    def search(query: Vector, k: int, _: QueryForm) -> Rows:
        return _rows(index.search(query[None], k, params=plain)[1])

    def within(mask: Mask) -> Search:
        selector = _Bitmap(mask)

        def search_in(query: Vector, k: int, _: QueryForm) -> Rows:
            walk = faiss.SearchParametersHNSW(efSearch=EF_SEARCH, sel=selector.selector)
            return _rows(index.search(query[None], k, params=walk)[1])

        return search_in

    links = 4 * 2 * M * 1.03
    return Engine(
        f"faiss HNSW{M}, ef {EF_SEARCH}",
        search,
        {n: within(m) for n, m in subsets.items()},
        spent,
        4 * DIMENSION + links,
    )


def hnswlib(vectors: Matrix, _: Mapping[str, Mask]) -> Engine:
    """Return hnswlib's graph. Its filter is a Python function for each row met, and is left out."""
    library = importlib.import_module("hnswlib")
    began = time.process_time()
    index = library.Index(space="ip", dim=DIMENSION)
    index.init_index(len(vectors), M=M, ef_construction=EF_CONSTRUCTION, random_seed=1)
    index.set_num_threads(2)
    index.add_items(vectors)
    spent = time.process_time() - began
    index.set_ef(EF_SEARCH)
    index.set_num_threads(1)

    def search(query: Vector, k: int, _: QueryForm) -> Rows:
        return np.asarray(index.knn_query(query[None], k)[0][0], np.int64)

    return Engine(
        f"hnswlib M {M}, ef {EF_SEARCH}",
        search,
        build_cpu_s=spent,
        bytes_a_vector=4 * DIMENSION + 4 * (2 * M + 1) + 8,
    )


def usearch(vectors: Matrix, _: Mapping[str, Mask]) -> Engine:
    """Return usearch's graph over half-precision copies; its Python interface has no filter."""
    library = importlib.import_module("usearch.index")
    began = time.process_time()
    index = library.Index(
        ndim=DIMENSION,
        metric="ip",
        dtype="f16",
        connectivity=M,
        expansion_add=EF_CONSTRUCTION,
        expansion_search=EF_SEARCH,
    )
    index.add(np.arange(len(vectors)), vectors, threads=2)
    spent = time.process_time() - began

    def search(query: Vector, k: int, _: QueryForm) -> Rows:
        return np.asarray(index.search(query, k, threads=1).keys, np.int64)

    return Engine(
        f"usearch f16, {M}, {EF_SEARCH}",
        search,
        build_cpu_s=spent,
        bytes_a_vector=index.memory_usage / len(vectors),
    )


@contextmanager
def ours(
    vectors: Matrix, subsets: Mapping[str, Mask], texts: Matrix, *, with_graph: bool = True
) -> Iterator[Engine]:
    """Yield our FAISS index, as a process of the service has it after a rebuild.

    Subsets are owners: each is a set of images of the same contents, so that the permitted rows are
    counted and chosen as for any caller.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = MemorySource(vectors, subsets)
        index = FaissIndex(
            source,
            Path(folder),
            BuildSettings(recall_target=0.98, with_graph=with_graph, extra_queries=lambda: texts),
        )
        began = time.process_time()
        source.begin()
        index.rebuild(1, lambda done, total: None)
        spent = time.process_time() - began
        index.refresh()
        status = index.status()

        def search_as(scope: Scope) -> Search:
            def search(query: Vector, k: int, form: QueryForm) -> Rows:
                [answer] = index.search(query[None], k, scope, form=form)
                return np.array([match.id for match in answer.matches], np.int64) - 1

            return search

        yield Engine(
            "ours",
            search_as(Scope(Audience(None))),
            {
                name: search_as(Scope(Audience(None, owner_ids=frozenset({owner}))))
                for name, owner in source.owner_of.items()
            },
            spent,
            _hot_bytes(status.kind),
            {
                "published": source.published,
                "kind": status.kind,
                "parameters": dict(status.parameters),
                "ways": [
                    f"{way.form}: {way.way} {way.setting}, recall {way.recall}"
                    for way in status.ways
                    if way.is_in_use
                ],
            },
        )
        index.close()


class _Bitmap:
    """FAISS's selector of rows, with the memory that it points to."""

    def __init__(self, mask: Mask) -> None:
        self._bits = np.packbits(mask, bitorder="little")
        self.selector = faiss.IDSelectorBitmap(self._bits)


def _rows(found: np.ndarray) -> Rows:
    rows: Rows = found[0][found[0] >= 0]
    return rows


def _hot_bytes(kind: str) -> float:
    """Return what a search touches for each row: the graph with its vectors, or the quantised form."""
    forms = {"hnsw": 4 * DIMENSION + 4 * 2 * M * 1.03 + 8, "quantised": DIMENSION / 8 + 19}
    return forms.get(kind, 4 * DIMENSION)
