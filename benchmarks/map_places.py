"""Measures how the map is laid out: time, memory, how many neighbours it keeps, and how far places move.

`python -m benchmarks.map_places --rows 300 10000` uses vectors that behave like those of pictures
(`benchmarks/search_vectors.py`), and the code that the worker runs. Each size has a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time

import numpy as np

from benchmarks.search_source import MemorySource
from benchmarks.search_vectors import collection
from mirada.adapters.grouping.faiss_kmeans import FaissKMeans
from mirada.adapters.projection.components import ComponentsProjection
from mirada.adapters.projection.opentsne import OpenTsneProjection
from mirada.groups.mapping import NO_MAP, FormerMap, Tools, map_pages
from mirada.kernel.embeddings import Matrix
from mirada.kernel.projecting import SIDE
from mirada.ports import Projection

PROBES = 1_000
"""Pictures whose neighbours are compared."""
NEAREST = 10
NEW = 0.05
"""Share of the library that comes between two maps."""


def lay_out(
    vectors: Matrix, projection: Projection, former: FormerMap, *, is_whole: bool = True
) -> tuple[FormerMap, float]:
    """Return a map as the next one finds it, and the seconds it took."""
    tools = Tools(FaissKMeans(), projection)
    begun = time.perf_counter()
    source = MemorySource(vectors, {})
    pages = list(map_pages(source, tools, former, lambda done, total: None, is_whole=is_whole))
    taken = time.perf_counter() - begun
    places = [page.places for page in pages if page.places is not None]
    return (
        FormerMap(
            np.concatenate([page.embedding_ids for page in pages]),
            np.concatenate(places).astype(np.float32),
            np.concatenate([page.groups for page in pages]),
        ),
        taken,
    )


def kept(vectors: Matrix, places: Matrix, among: int) -> float:
    """Return which share of the NEAREST by vectors is among so many nearest on the map."""
    probes = np.random.default_rng(1).choice(len(vectors), min(PROBES, len(vectors)), replace=False)
    shares = []
    for probe in probes:
        by_vectors = vectors @ vectors[probe]
        by_vectors[probe] = -np.inf
        near = np.argpartition(-by_vectors, NEAREST)[:NEAREST]
        away = ((places - places[probe]) ** 2).sum(axis=1)
        away[probe] = np.inf
        shares.append(len(np.intersect1d(near, np.argpartition(away, among)[:among])) / NEAREST)
    return float(np.mean(shares))


def moved(before: Matrix, after: Matrix) -> str:
    """Return how far places moved, of the side of the map: half of them at most, and nine of ten."""
    away = np.linalg.norm(after[: len(before)] - before[: len(after)], axis=1) / SIDE
    return f"{np.median(away):6.2%} {np.quantile(away, 0.9):6.2%}"


def measure(rows: int) -> None:
    """Write the figures of one size."""
    vectors = collection(round(rows * (1 + NEW)), 1).vectors
    old = vectors[:rows]
    for projection in (ComponentsProjection(), OpenTsneProjection()):
        made, taken = lay_out(old, projection, NO_MAP)
        told = "  ".join(f"{among} {kept(old, made.places, among):.3f}" for among in (10, 50))
        _say(f"{rows:7,} {projection.method:10} {taken:6.1f} s   kept of 10 nearest: {told}")
    _say(f"{rows:7,} most memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    again, _ = lay_out(old, OpenTsneProjection(), NO_MAP)
    _say(f"{rows:7,} made twice:            moved {moved(made.places, again.places)}")
    placed, taken = lay_out(vectors, OpenTsneProjection(), made, is_whole=False)
    _say(
        f"{rows:7,} 5 % new are placed:    moved {moved(made.places, placed.places)} {taken:6.1f} s"
    )
    whole, taken = lay_out(vectors, OpenTsneProjection(), made)
    _say(
        f"{rows:7,} 5 % new, made anew:    moved {moved(made.places, whole.places)} {taken:6.1f} s"
    )
    fresh, _ = lay_out(vectors, OpenTsneProjection(), NO_MAP)
    _say(f"{rows:7,} the same, with no start: moved {moved(made.places, fresh.places)}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[300, 10_000])
    for size in parser.parse_args().rows:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(size,))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(process.exitcode)
