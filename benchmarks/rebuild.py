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
from mirada.kernel.embeddings import Matrix


class Stopwatch:
    """Seconds by the clock and of this process's processors; a busy machine blurs only the first."""

    def __init__(self) -> None:
        """Start both."""
        self._started = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Return both."""
        return time.perf_counter() - self._started[0], time.process_time() - self._started[1]


def raw_build(vectors: Matrix) -> tuple[float, float]:
    """Return the time FAISS needs for the same index and nothing else."""
    faiss.omp_set_num_threads(max(1, (os.cpu_count() or 1) - 1))
    if len(vectors) >= HNSW_MIN_ROWS:
        index = faiss.IndexHNSWFlat(DIMENSION, HNSW_M, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = EF_CONSTRUCTION
    else:
        index = faiss.IndexFlatIP(DIMENSION)
    watch = Stopwatch()
    for start in range(0, len(vectors), ADD_ROWS):
        index.add(vectors[start : start + ADD_ROWS])
    return watch.read()


def main() -> None:
    """Fill, build both ways, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        library, vectors, _ = filled(folder, rows)
        raw = raw_build(vectors)
        index = FaissIndex(library.source, folder / "faiss_indexes", recall_target=0.98)
        reported: list[tuple[float, float]] = []
        watch = Stopwatch()
        record = index.rebuild(1, lambda done, total: reported.append(watch.read()))
        whole = watch.read()
        assert record is not None
        size = sum(file["bytes"] for file in record.manifest["files"].values())
        watch = Stopwatch()
        index.refresh()
        opened, _ = watch.read()
        print(f"{rows:,} x {DIMENSION}, {record.manifest['kind']}, {size / 1e6:.0f} MB")
        print("                                      rows/s   ratio   ratio in processor time")
        for name, (clock, processors) in (
            ("raw FAISS build", raw),
            ("read from the database and built", reported[-1]),
            ("measured, published and proven", whole),
        ):
            print(
                f"{name:<33} {rows / clock:9,.0f}   {raw[0] / clock:5.2f}   "
                f"{raw[1] / processors:5.2f}"
            )
        print(f"checked and opened for serving in {opened:.2f} s")
        index.close()
        library.database.close()


if __name__ == "__main__":
    main()
