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

from benchmarks.search_vectors import collection
from mirada.adapters.grouping.faiss_kmeans import FaissKMeans
from mirada.adapters.projection.components import ComponentsProjection
from mirada.adapters.projection.opentsne import OpenTsneProjection
from mirada.groups.grouping import Uploaded
from mirada.groups.mapping import NO_MAP, Among, FormerMap, Tools, View, laid_out
from mirada.kernel.clustering import Ids
from mirada.kernel.embeddings import Matrix
from mirada.kernel.projecting import SIDE
from mirada.ports import Projection

PROBES = 1_000
"""Pictures whose neighbours are compared."""
NEAREST = 10
OWN = 1_000
"""Private pictures of one owner that are placed among public ones."""
NEW = 0.05
"""Share of the library that comes between two maps."""


def all_public(vectors: Matrix) -> tuple[Uploaded, Ids]:
    """Return a library of public pictures, and its rows."""
    count = len(vectors)
    rows = np.arange(count)
    ones = np.ones(count, np.int64)
    return Uploaded(rows + 1, vectors, ones, ones > 0, rows, ones), rows


def lay_out(
    vectors: Matrix, projection: Projection, former: FormerMap, *, is_whole: bool = True
) -> tuple[FormerMap, float]:
    """Return a map as the next one finds it, and the seconds it took."""
    begun = time.perf_counter()
    library, rows = all_public(vectors)
    tools = Tools(FaissKMeans(), projection)
    page = laid_out(library, View(None, rows), tools, former, lambda part: None, is_whole=is_whole)
    taken = time.perf_counter() - begun
    assert page.places is not None
    return FormerMap(page.embedding_ids, page.places.astype(np.float32), page.groups), taken


def among(vectors: Matrix, public: FormerMap) -> float:
    """Return the seconds in which OWN private pictures of one owner are placed among public ones."""
    begun = time.perf_counter()
    library, rows = all_public(vectors)
    places = Among(library, View(None, rows), public.places, public.groups)
    places.placed(View(1, rows[:OWN], is_among=True))
    return time.perf_counter() - begun


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
    _say(f"{rows:7,} others' placed among:  {among(old, made):6.1f} s for {OWN:,} of one owner")
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
