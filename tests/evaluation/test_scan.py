"""The best of many pages are those of one, and ties go by id."""

from __future__ import annotations

import numpy as np
import pytest

from mirada.evaluation.scan import Asked
from testing.vector_library import random_vectors


def best(queries: np.ndarray, vectors: np.ndarray, pages: int, depth: int = 10) -> Asked:
    nothing = np.empty(0, np.int64)
    ids = np.arange(len(vectors), dtype=np.int64) * 3 + 1
    asked = Asked(queries, ids[ids % 2 == 1], nothing, nothing, depth)
    for part in np.array_split(np.arange(len(vectors)), pages):
        asked.meet(ids[part], vectors[part])
    return asked


@pytest.mark.parametrize("pages", [1, 2, 7, 40])
def test_pages_find_what_a_sort_of_everything_finds(pages: int) -> None:
    # Of whole numbers, so that every product is exact and many are equal.
    random = np.random.default_rng(5)
    vectors = random.integers(-2, 3, (200, 6)).astype(np.float32)
    queries = random.integers(-2, 3, (9, 6)).astype(np.float32)
    asked = best(queries, vectors, pages)
    ids = np.arange(200) * 3 + 1
    seen = ids % 2 == 1
    for row, query in enumerate(queries):
        scores = vectors[seen] @ query
        order = np.lexsort((ids[seen], -scores))[:10]
        assert asked.best_ids[row].tolist() == ids[seen][order].tolist()
        assert asked.best_scores[row].tolist() == scores[order].tolist()


def test_fewer_than_the_depth_leave_places_empty() -> None:
    asked = best(random_vectors(3), random_vectors(8, seed=1), pages=3)
    assert (asked.best_ids[:, :4] >= 0).all()
    assert (asked.best_ids[:, 4:] == -1).all()
