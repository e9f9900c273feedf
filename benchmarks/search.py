"""Measures search in process, in one run on one machine, as ratios to an exact scan with numpy.

`python -m benchmarks.search --rows 50000` builds an index of synthetic clustered vectors through a
SQLite database, as the product does. A twentieth of all clusters is one owner's and private, so that
the others' searches meet rows they may not see.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
from sqlalchemy.engine import make_url

from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.db.migrate import upgrade_to_head
from mirada.db.session import Database, make_engine
from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.similarity import QueryForm, SearchWay
from testing.scopes import seen_by
from testing.vector_library import Library, clustered_vectors

DIMENSION = 512
CLUSTERS = 500
K = 10
PRIVATE_SHARE = 0.05


def filled(folder: Path, rows: int) -> tuple[Library, Matrix, np.ndarray]:
    """Return a library of clustered vectors, the vectors, and which of them are private."""
    database = Database(make_engine(make_url(f"sqlite:///{folder / 'mirada.db'}"), 4))
    upgrade_to_head(database.engine)
    library = Library.create(database, DIMENSION, owners=2)
    vectors, cluster_of = clustered_vectors(rows, DIMENSION, CLUSTERS)
    private = cluster_of < CLUSTERS * PRIVATE_SHARE
    owners = np.where(private, library.owners[0], library.owners[1])
    for start in range(0, rows, 5_000):
        chunk = slice(start, start + 5_000)
        library.add(vectors[chunk], owners[chunk].tolist(), (~private[chunk]).tolist())
    return library, vectors, private


def milliseconds(work: Callable[[Matrix], object], queries: Matrix) -> tuple[float, float]:
    """Return the median and the 99th percentile over the queries, one at a time."""
    work(queries[:1])
    times = []
    for row in range(len(queries)):
        started = time.perf_counter()
        work(queries[row : row + 1])
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times), float(np.percentile(times, 99))


def near(vectors: Matrix, rows: np.ndarray, seed: int) -> Matrix:
    """Return queries near the given rows: cosine about 0.96 with them."""
    noise = np.random.default_rng(seed).standard_normal((rows.size, DIMENSION)) * 0.3
    return l2_normalise(vectors[rows] + noise / np.sqrt(DIMENSION))


def recall(found: list[set[int]], vectors: Matrix, allowed: np.ndarray, queries: Matrix) -> float:
    """Return the share of the K truly nearest allowed rows that were found."""
    rows = np.flatnonzero(allowed)
    truth = rows[np.argsort(-(queries @ vectors[rows].T), axis=1)[:, :K]]
    hits = sum(len(a & set(b.tolist())) for a, b in zip(found, truth, strict=True))
    return hits / truth.size


def report_speed(index: FaissIndex, vectors: Matrix, private: np.ndarray, owner: int) -> None:
    """Print how long searches take, beside numpy's scan of the same rows."""
    rng = np.random.default_rng(1)
    public = np.ascontiguousarray(vectors[~private])
    queries = near(vectors, rng.choice(np.flatnonzero(~private), 300), 2)

    def scan(query: Matrix) -> object:
        scores = public @ query[0]
        best = np.argpartition(-scores, K)[:K]
        return best[np.argsort(-scores[best])]

    bare_p50, bare_p99 = milliseconds(scan, queries)
    print(f"exact scan by numpy     p50 {bare_p50:7.2f} ms   p99 {bare_p99:7.2f} ms   1.00")
    for name, permitted in (
        ("everything public", seen_by(None)),
        ("one owner's 5 %", seen_by(owner, owner_ids=frozenset([owner]))),
    ):
        p50, p99 = milliseconds(lambda q, p=permitted: index.search(q, K, p), queries)  # type: ignore[misc]
        way = index.search(queries[:1], K, permitted)[0].way
        print(
            f"{name:<23} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   "
            f"{bare_p50 / p50:.2f} times the scan's speed, by {way}"
        )


def report_recall(index: FaissIndex, vectors: Matrix, private: np.ndarray, first_id: int) -> None:
    """Print recall among public rows, for queries into public and into private clusters.

    Beside it stands what the same graph finds with FAISS's own filter, an IDSelectorBitmap: the
    reason why the planner counts instead of filtering.
    """
    rng = np.random.default_rng(3)
    base = index._view.base  # type: ignore[union-attr]
    beam = beam_of(index)
    if base is None or beam is None:
        print("recall: no graph at this size; every answer is exact")
        return
    bits = np.packbits(~private, bitorder="little")
    selector = faiss.IDSelectorBitmap(bits)
    for name, rows in (("public", np.flatnonzero(~private)), ("private", np.flatnonzero(private))):
        queries = near(vectors, rng.choice(rows, 100), 4)
        answers = index.search(queries, K, seen_by(None))
        ours = [{match.id - first_id for match in answer.matches} for answer in answers]
        ways = sorted({str(answer.way) for answer in answers})
        walk = faiss.SearchParametersHNSW(efSearch=beam, sel=selector)
        _, rows_found = base.base.graph.search(queries, K, params=walk)
        filtered = [set(row[row >= 0].tolist()) for row in rows_found]
        print(
            f"recall@{K} of queries into {name} clusters: "
            f"{recall(ours, vectors, ~private, queries):.3f} ({', '.join(ways)}); "
            f"the graph with a selector alone {recall(filtered, vectors, ~private, queries):.3f}"
        )


def beam_of(index: FaissIndex) -> int | None:
    """Return the beam of the graph for pictures; None where it is not walked."""
    for one in index.status().ways:
        if (one.form, one.way) == (QueryForm.PICTURE, SearchWay.HNSW) and one.is_in_use:
            return one.setting
    return None


def main() -> None:
    """Fill, build, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        library, vectors, private = filled(folder, rows)
        index = FaissIndex(library.source, folder / "faiss_indexes", recall_target=0.98)
        index.rebuild(1, lambda done, total: None)
        index.refresh()
        status = index.status()
        print(f"{rows:,} x {DIMENSION}: {status.kind} {dict(status.parameters)}")
        for one in status.ways:
            print(f"  measured by the build: {one}")
        print(f"  from so many permitted rows on comes first: {status.planning['first_ways']}")
        report_speed(index, vectors, private, library.owners[0])
        first_id = int(index._view.base.ids[0])  # type: ignore[union-attr]
        report_recall(index, vectors, private, first_id)
        index.close()
        library.database.close()


if __name__ == "__main__":
    main()
