"""Parts of a query: their blend ranks as standard scores do, and the unwanted take from what is like them."""

from __future__ import annotations

import numpy as np
import pytest

from mirada.kernel.composing import (
    STANDS_OUT,
    TAKEN,
    Spread,
    WeighedPart,
    blended,
    spread_of,
    taken,
)
from mirada.kernel.embeddings import Matrix, Vector, l2_normalise
from mirada.kernel.errors import InvalidInput

D = 16


def rows(seed: int, count: int) -> Matrix:
    return l2_normalise(np.random.default_rng(seed).standard_normal((count, D)))


def part(
    vector: Vector, weight: float = 1.0, centre: float = 0.0, width: float = 0.1
) -> WeighedPart:
    return WeighedPart(0, vector, weight, Spread(centre, width))


@pytest.mark.parametrize("seed", range(5))
def test_one_search_ranks_as_the_weighted_sum_of_standard_scores(seed: int) -> None:
    library, (one, other) = rows(seed, 200), rows(seed + 100, 2)
    parts = [part(one, 2.0, 0.3, 0.2), part(other, 0.5, 0.1, 0.03)]
    summed = sum(each.weight * each.standing(library) for each in parts)
    assert np.argsort(-summed).tolist() == np.argsort(-(library @ blended(parts))).tolist()


def test_a_blend_of_one_is_itself_and_only_the_ratio_of_weights_matters() -> None:
    one, other = rows(1, 2)
    assert np.allclose(blended([part(one, 7.0)]), one, atol=1e-6)
    small = blended([part(one, 0.001), part(other, 0.002)])
    large = blended([part(one, 5.0), part(other, 10.0)])
    assert np.allclose(small, large, atol=1e-6)


def test_parts_that_cancel_each_other_out_are_refused() -> None:
    one = rows(1, 1)[0]
    with pytest.raises(InvalidInput, match="cancel each other out"):
        blended([part(one), part(-one)])


def test_only_what_stands_out_as_unwanted_loses() -> None:
    library = np.eye(D, dtype=np.float32)
    unwanted = part(l2_normalise(np.eye(D)[0] * 3 + np.eye(D)[1]), -0.5)
    lost = taken(library, [unwanted])
    expected = 0.5 * TAKEN * (float(library[0] @ unwanted.vector) / 0.1 - STANDS_OUT)
    assert lost[0] == pytest.approx(expected, rel=1e-5)
    assert lost[0] > lost[1] > 0
    assert lost[2:].tolist() == [0.0] * (D - 2)
    assert taken(library, []).tolist() == [0.0] * D


@pytest.mark.parametrize("scores", [[], [0.4], [0.4] * 600])
def test_a_spread_is_never_nothing(scores: list[float]) -> None:
    assert spread_of(scores).width >= 0.01
    assert spread_of(scores).centre == (0.4 if scores else 0.0)


def test_a_large_sample_speaks_for_itself() -> None:
    sample = np.random.default_rng(1).normal(0.2, 0.05, 512)
    found = spread_of(sample)
    assert found.width == pytest.approx(sample.std(), rel=0.02)
    assert found.centre == pytest.approx(np.median(sample))


def test_a_spread_does_not_tell_in_which_order_the_rows_came() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(0, 0.1, 64).astype(np.float32)
    spreads = {spread_of(rng.permutation(scores)) for _ in range(200)}
    assert len(spreads) == 1
