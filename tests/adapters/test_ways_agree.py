"""Every way of searching against brute force, over random small libraries and random permitted sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.db.session import Database
from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.similarity import SearchWay
from testing.exact_index import ExactIndex
from testing.forced_ways import forced_index
from testing.scopes import seen_by
from testing.vector_library import Library, clustered_vectors, no_progress, random_vectors

Generator = np.random.Generator
WAYS = (SearchWay.QUANTISED, SearchWay.IVF, SearchWay.HNSW)
LEAST_RECALL = 0.98


def _without_structure(rng: Generator, count: int, dimension: int) -> Matrix:
    return rng.standard_normal((count, dimension)).astype(np.float32)


def _in_clusters(rng: Generator, count: int, dimension: int) -> Matrix:
    seed = int(rng.integers(10**9))
    return clustered_vectors(count, dimension, clusters=12, spread=0.4, seed=seed)[0]


def _all_equal(rng: Generator, count: int, dimension: int) -> Matrix:
    return np.repeat(_without_structure(rng, 1, dimension), count, axis=0)


def _equal_but_for_rounding(rng: Generator, count: int, dimension: int) -> Matrix:
    """So near to each other that what is left of the centre is rounding."""
    noise = 1e-6 * _without_structure(rng, count, dimension)
    return _all_equal(rng, count, dimension) + noise


def _five_different_ones(rng: Generator, count: int, dimension: int) -> Matrix:
    return _without_structure(rng, 5, dimension)[rng.integers(0, 5, count)]


def _one_list_and_an_outlier(rng: Generator, count: int, dimension: int) -> Matrix:
    vectors = _all_equal(rng, count, dimension)
    vectors += 1e-2 * _without_structure(rng, count, dimension)
    vectors[0] *= -1
    return vectors


SHAPES = (
    _without_structure,
    _in_clusters,
    _all_equal,
    _equal_but_for_rounding,
    _five_different_ones,
    _one_list_and_an_outlier,
)


def _compare(index: FaissIndex, library: Library, queries: Matrix) -> float:
    """Return the share of the true neighbours that were found; everything else has to be right."""
    ann, bob, eve = library.owners
    truth = ExactIndex(library.source)
    found = wanted = 0
    for scope in (
        seen_by(None),
        seen_by(ann),
        seen_by(ann, frozenset([ann])),
        seen_by(eve, frozenset([bob])),
    ):
        everything = truth.search(queries, 10**6, scope)
        for k in (1, 10, 150, 10**6):
            for answer, whole in zip(index.search(queries, k, scope), everything, strict=True):
                cosine_of = {match.id: match.similarity for match in whole.matches}
                best = whole.matches[:k]
                assert answer.permitted_count == len(whole.matches)
                assert len({match.id for match in answer.matches}) == len(answer.matches)
                assert len(answer.matches) == len(best)
                assert all(m.similarity == cosine_of[m.id] for m in answer.matches)
                order = [(-match.similarity, match.id) for match in answer.matches]
                assert order == sorted(order)
                lowest = best[-1].similarity - 1e-6 if best else 0.0
                found += sum(match.similarity >= lowest for match in answer.matches)
                wanted += len(best)
    return found / max(1, wanted)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__[1:])
def test_a_way_finds_what_brute_force_finds_before_and_after_changes(
    sqlite_database: Database,
    tmp_path: Path,
    way: SearchWay,
    shape: Callable[[Generator, int, int], Matrix],
) -> None:
    rng = np.random.default_rng([SHAPES.index(shape), WAYS.index(way)])
    dimension, count = int(rng.choice([8, 31, 64])), int(rng.choice([500, 700, 900]))
    library = Library.create(sqlite_database, dimension)
    vectors = l2_normalise(shape(rng, count, dimension))
    # Ann's are so few that no list has as many as are asked for, and some lists have none of them.
    owners = rng.choice(library.owners, count, p=[0.05, 0.35, 0.6]).tolist()
    is_public = rng.random(count) < rng.choice([0.1, 0.5, 0.95])
    ids = library.add(vectors, owners, is_public.tolist())
    index = forced_index(library.source, tmp_path, way)
    index.rebuild(1, no_progress)
    index.refresh()
    rows = rng.integers(0, count, 3)
    queries = np.concatenate([vectors[rows], random_vectors(3, dimension, seed=count)])
    assert _compare(index, library, queries) >= LEAST_RECALL

    library.delete(rng.choice(ids, count // 3, replace=False).tolist())
    new = l2_normalise(shape(rng, 25, dimension))
    library.add(new, rng.choice(library.owners, 25).tolist(), (rng.random(25) < 0.5).tolist())
    index.refresh()
    assert _compare(index, library, queries) >= LEAST_RECALL

    index.rebuild(2, no_progress)
    index.refresh()
    assert index.status().delta_count == 0
    assert _compare(index, library, queries) >= LEAST_RECALL
