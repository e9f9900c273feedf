"""K-means: planted groups are found exactly, the same ones every time."""

from __future__ import annotations

import numpy as np
import pytest

from mirada.adapters.grouping.faiss_kmeans import FaissKMeans
from mirada.kernel.clustering import nearest_centres
from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.errors import InvalidInput


def planted(groups: int, per_group: int, seed: int) -> tuple[Matrix, np.ndarray]:
    """Return rows around random directions in mixed order, and each row's group."""
    rng = np.random.default_rng(seed)
    centres = l2_normalise(rng.standard_normal((groups, 64)))
    member = rng.permutation(np.repeat(np.arange(groups), per_group))
    noise = rng.standard_normal((groups * per_group, 64)) * 0.3 / 8
    return l2_normalise(centres[member] + noise), member


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("groups", [1, 2, 12, 30])
def test_planted_groups_are_found_exactly(groups: int, seed: int) -> None:
    vectors, member = planted(groups, 60, seed)
    found, similarities = nearest_centres(vectors, FaissKMeans().centres(vectors, groups, seed))
    assert len(set(zip(found.tolist(), member.tolist(), strict=True))) == groups
    assert len(set(found.tolist())) == groups
    assert similarities.min() > 0.8


def test_the_same_seed_gives_the_same_centres_and_another_one_others() -> None:
    vectors, _ = planted(40, 10, 0)
    first = FaissKMeans().centres(vectors, 7, seed=5)
    again = FaissKMeans().centres(vectors.copy(), 7, seed=5)
    other = FaissKMeans().centres(vectors, 7, seed=6)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_centres_have_unit_norm() -> None:
    vectors, _ = planted(5, 20, 1)
    centres = FaissKMeans().centres(vectors, 9, seed=0)
    assert centres.dtype == np.float32
    assert np.linalg.norm(centres, axis=1) == pytest.approx(np.ones(9), abs=1e-5)


def test_no_more_groups_than_different_rows() -> None:
    vectors = np.repeat(planted(3, 1, 2)[0], 50, axis=0)
    assert FaissKMeans().centres(vectors, 10, seed=0).shape == (3, 64)
    assert FaissKMeans().centres(vectors[:1], 4, seed=0) == pytest.approx(vectors[:1])


def test_nothing_has_no_centre() -> None:
    with pytest.raises(InvalidInput):
        FaissKMeans().centres(np.empty((0, 4), np.float32), 3, seed=0)
    with pytest.raises(InvalidInput):
        FaissKMeans().centres(planted(1, 2, 0)[0], 0, seed=0)
