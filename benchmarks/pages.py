"""Measures the server's time of Explore's pages: the library, a search, pictures like one, the filters.

`python -m benchmarks.pages --rows 10000` fills a database of its own, then asks for each page in turn, so
that a busy moment hits all alike. The encoder is a stand-in, because remembered words ask none.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import webapp
from mirada.config import Settings
from mirada.runtime import Runtime
from testing.encoders import CountingEncoder, with_encoder
from testing.filled import fill

PAGES = {
    "the library": "/ui",
    "its next page": "/ui?cursor={next}",
    "remembered words": "/ui?q=red+heart",
    "pictures like one": "/ui?plus=1",
    "by likes": "/ui?sort=likes",
    "one shape": "/ui?shape=landscape",
    "with the filters": "/ui?filters=true",
}


def main(rows: int, rounds: int) -> None:
    """Fill a database, and write the median and the 95th percentile of each page."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.from_env(data_dir=folder, faiss_index_dir=f"{folder}/indexes")
        runtime = with_encoder(Runtime(settings), CountingEncoder())
        runtime.migrate()
        space_id, space = runtime.space()
        drawn = np.random.default_rng(0).normal(size=(rows, space.dimension)).astype(np.float32)
        vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        fill(runtime.database, Path(settings.image_dir), space_id, vectors)
        runtime.index(space_id).refresh()
        times = _times(runtime, rounds)
        runtime.close()
    sys.stdout.write(f"{rows:,} pictures, {rounds} rounds\n")
    for name, taken in times.items():
        p95 = sorted(taken)[int(len(taken) * 0.95)]
        sys.stdout.write(f"{name:20} p50 {statistics.median(taken):6.1f} ms   p95 {p95:6.1f} ms\n")


def _times(runtime: Runtime, rounds: int) -> dict[str, list[float]]:
    client = webapp.create_app(runtime).test_client()
    headers = {"Accept": "text/html", "Accept-Encoding": "gzip"}
    listed = client.get("/api/v1/images?limit=60").get_json()["next"]
    cursor = listed.partition("cursor=")[2].partition("&")[0]
    times: dict[str, list[float]] = {name: [] for name in PAGES}
    for _ in range(rounds + 1):
        for name, address in PAGES.items():
            begun = time.perf_counter()
            reply = client.get(address.format(next=cursor), headers=headers)
            times[name].append(1_000 * (time.perf_counter() - begun))
            assert reply.status_code == 200, (address, reply.status_code)
    # The first round reads templates, indexes and encoders.
    return {name: taken[1:] for name, taken in times.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    main(given.rows, given.rounds)
