"""From the database's rows to the parts of a snapshot: vectors on disk, quantised form, graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from mirada.adapters.vector_index.access import Ids, Mask
from mirada.adapters.vector_index.faiss.block import storage_of
from mirada.adapters.vector_index.faiss.vectors_file import VectorsFile
from mirada.ports import VectorSource

HNSW_MIN_ROWS = 20_000
"""Below it a scan of everything takes 2 to 4 ms (docs/decisions/0003)."""
HNSW_M = 32
EF_CONSTRUCTION = 128
"""SEARCH: 99.3 % of the true ten nearest at ef_search = 128, where M = 16 and 64 found 89 %."""
ADD_ROWS = 1_000
"""Rows between two reports of progress: about a second of building."""


class GatheredRows(NamedTuple):
    """Embedding ids by row of a snapshot, and who may see the rows.

    Attributes:
        ids: (n,) int64, ascending.
        access_rows, access_owners, access_public: (m,) as in VectorRows, in rows of the snapshot.
    """

    ids: Ids
    access_rows: Ids
    access_owners: Ids
    access_public: Mask


def gather(
    source: VectorSource, change_seq: int, file: VectorsFile, gathered: Callable[[int], None]
) -> GatheredRows | None:
    """Write the vectors of the live rows up to a change number; None when there are none.

    Args:
        source: read in pages; no more than one is held.
        change_seq: the state of the database to build.
        file: takes the vectors.
        gathered: called after each page with the rows that are in; what it raises ends the build.

    Raises:
        OSError: the file cannot be written.
    """
    pages: list[GatheredRows] = []
    for page in source.live_rows_through(change_seq):
        start = file.count
        alive = np.flatnonzero(~page.dead)
        row_of = np.full(page.ids.size, -1, np.int64)
        row_of[alive] = np.arange(start, start + alive.size)
        access_rows = row_of[page.access_rows]
        pages.append(
            GatheredRows(page.ids[alive], access_rows, page.access_owners, page.access_public)
        )
        file.append(page.vectors if alive.size == page.ids.size else page.vectors[alive])
        gathered(file.count)
    if not file.count:
        return None
    return GatheredRows(*(np.concatenate(parts) for parts in zip(*pages, strict=True)))


def built_graph(file: VectorsFile, added: Callable[[int], None], threads: int | None) -> Any:
    """Return an IndexHNSWFlat of a file's rows, which it holds in memory.

    Args:
        file: finished.
        added: called about once a second with the rows that are in; what it raises ends the build.
        threads: of the building; None leaves one core to those who search meanwhile.
    """
    graph = faiss.IndexHNSWFlat(file.dimension, HNSW_M, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = EF_CONSTRUCTION
    # Reserves what the rows need: growing step by step would hold them up to three times.
    stored = storage_of(graph)
    stored.codes.resize(file.count * file.dimension * 4)
    stored.codes.resize(0)
    with omp_threads(threads or max(1, (os.cpu_count() or 1) - 1)):
        for _, chunk in file.chunks():
            for first in range(0, len(chunk), ADD_ROWS):
                graph.add(np.ascontiguousarray(chunk[first : first + ADD_ROWS]))
                added(int(graph.ntotal))
    return graph


@contextmanager
def omp_threads(count: int) -> Iterator[None]:
    """Let FAISS use so many threads for calls from this one, and NumPy in this process.

    Searches are not affected: each asks for one thread itself. NumPy's BLAS waits for its threads by
    spinning. Beside busy neighbours that cost a build of a million rows 10 s of processor time, of 30.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        faiss.omp_set_num_threads(before)
