"""Measures search over HTTP, through a real Gunicorn, as ratios to search in process and to a scan.

`python -m benchmarks.serving --rows 30000` fills an SQLite database with synthetic clustered vectors
in the bundled encoder's space, serves it, and asks over loopback. Everything runs on one machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import numpy as np

from mirada.config import Settings
from mirada.kernel.embeddings import Matrix
from mirada.people import users
from mirada.ports import single
from mirada.runtime import Runtime
from testing.deployment import deployed
from testing.scopes import seen_by
from testing.vector_library import Library, clustered_vectors, no_progress

CLUSTERS = 300
K = 10
QUERIES = 300
CLIENTS = 4
CLIENT_SEARCHES = 100


def filled(folder: Path, rows: int) -> tuple[Runtime, int, Matrix]:
    """Return a runtime over a library of the local user's, its space, and the vectors."""
    runtime = Runtime(
        Settings.from_env(
            data_dir=folder / "data",
            faiss_index_dir=folder / "faiss_indexes",
            database_url=f"sqlite:///{folder / 'data' / 'mirada.db'}",
            clip_model="bundled",
        )
    )
    runtime.migrate()
    space_id, space = runtime.space()
    with runtime.transaction() as session:
        owner_id = users.local_user(session).id
    library = Library(runtime.database, space_id, space.dimension, [owner_id])
    vectors, _ = clustered_vectors(rows, space.dimension, CLUSTERS)
    for start in range(0, rows, 5_000):
        library.add(vectors[start : start + 5_000])
    index = runtime.index(space_id)
    index.rebuild(1, no_progress)
    index.refresh()
    return runtime, space_id, vectors


def milliseconds(work: Callable[[int], object], count: int = QUERIES) -> tuple[float, float]:
    """Return the median and the 99th percentile of `work`, one at a time."""
    work(0)
    times = []
    for number in range(count):
        started = time.perf_counter()
        work(number)
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times), float(np.percentile(times, 99))


def report(name: str, times: tuple[float, float], scan_p50: float) -> None:
    """Print one row."""
    p50, p99 = times
    print(f"{name:<34} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   {p50 / scan_p50:6.2f} x the scan")


def together(ask: Callable[[httpx2.Client, int], object], url: str) -> float:
    """Return searches per second of CLIENTS clients that each ask again when answered."""

    def client() -> None:
        with httpx2.Client(base_url=url, trust_env=False, timeout=60) as http:
            for number in range(CLIENT_SEARCHES):
                ask(http, number)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return CLIENTS * CLIENT_SEARCHES / (time.perf_counter() - started)


def main() -> None:
    """Fill, serve, ask, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=30_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        runtime, space_id, vectors = filled(folder, rows)
        queries = vectors[np.random.default_rng(5).integers(0, rows, QUERIES)]
        index = runtime.index(space_id)
        status = index.status()
        print(f"{rows:,} x {vectors.shape[1]}: {status.kind} {dict(status.parameters)}")

        def scan(number: int) -> object:
            scores = vectors @ queries[number]
            best = np.argpartition(-scores, K)[:K]
            return best[np.argsort(-scores[best])]

        everybody = seen_by(None)
        scanned = milliseconds(scan)
        report("exact scan by numpy", scanned, scanned[0])
        report(
            "search in process",
            milliseconds(lambda n: index.search(single(queries[n]), K, everybody)),
            scanned[0],
        )
        bodies = [{"vector": query.tolist(), "k": K} for query in queries]

        def by_vector(http: httpx2.Client, number: int) -> None:
            reply = http.post("/api/v1/search", json=bodies[number])
            assert len(reply.json()["results"]) == K, reply.text

        def by_id(http: httpx2.Client, number: int) -> None:
            reply = http.get(f"/api/v1/images/{number + 1}/similar?limit={K}")
            assert len(reply.json()["results"]) == K, reply.text

        def by_text(http: httpx2.Client, number: int) -> None:
            reply = http.post("/api/v1/search", json={"text": f"a cat number {number}", "k": K})
            assert len(reply.json()["results"]) == K, reply.text

        with deployed(folder) as deployment:
            web = deployment.web()
            for name, ask in (
                ("over HTTP, by vector", by_vector),
                ("over HTTP, by stored image", by_id),
                ("over HTTP, by text", by_text),
            ):
                report(name, milliseconds(lambda n, a=ask: a(web.http, n)), scanned[0])  # type: ignore[misc]
            for name, ask in (("by stored image", by_id), ("by text", by_text)):
                print(f"{CLIENTS} clients at once, {name}: {together(ask, web.url):.0f} searches/s")
        runtime.close()


if __name__ == "__main__":
    main()
