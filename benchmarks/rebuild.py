"""Measures an index rebuild, database to published snapshot, as a ratio to FAISS alone.

`python -m benchmarks.rebuild --rows 50000`: the raw build adds the same vectors, already in memory,
to the same kind of index with as many threads, and does nothing else.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import faiss

from benchmarks.search import DIMENSION, filled
from mirada.adapters.vector_index.faiss.building import (
    ADD_ROWS,
    EF_CONSTRUCTION,
    HNSW_M,
    HNSW_MIN_ROWS,
)
from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.domain.embeddings import Matrix


def raw_build_s(vectors: Matrix) -> float:
    """Return the seconds FAISS needs for the same index and nothing else."""
    faiss.omp_set_num_threads(max(1, (os.cpu_count() or 1) - 1))
    if len(vectors) >= HNSW_MIN_ROWS:
        index = faiss.IndexHNSWFlat(DIMENSION, HNSW_M, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = EF_CONSTRUCTION
    else:
        index = faiss.IndexFlatIP(DIMENSION)
    started = time.perf_counter()
    for start in range(0, len(vectors), ADD_ROWS):
        index.add(vectors[start : start + ADD_ROWS])
    return time.perf_counter() - started


def main() -> None:
    """Fill, build both ways, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        library, vectors, _ = filled(folder, rows)
        raw = raw_build_s(vectors)
        index = FaissIndex(library.source, folder / "faiss_indexes", recall_target=0.98)
        reported: list[float] = []
        started = time.perf_counter()
        record = index.rebuild(1, lambda done, total: reported.append(time.perf_counter()))
        whole = time.perf_counter() - started
        assert record is not None
        added = reported[-1] - started
        size = sum(file["bytes"] for file in record.manifest["files"].values())
        started = time.perf_counter()
        index.refresh()
        opened = time.perf_counter() - started
        print(f"{rows:,} x {DIMENSION}, {record.manifest['kind']}, {size / 1e6:.0f} MB")
        print(f"raw FAISS build                    {rows / raw:9,.0f} rows/s   1.00")
        print(f"read from the database and build   {rows / added:9,.0f} rows/s   {raw / added:.2f}")
        print(f"measured, published and proven     {rows / whole:9,.0f} rows/s   {raw / whole:.2f}")
        print(f"checked and opened for serving in  {opened:.2f} s")
        index.close()
        library.database.close()


if __name__ == "__main__":
    main()
