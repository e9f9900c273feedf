"""Maximal marginal relevance: everything once, the best first, what is new before more of the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.kernel.diversity import marginal_relevance_order
from mirada.kernel.embeddings import l2_normalise


@given(seed=st.integers(0, 10_000), share=st.floats(0, 1))
def test_every_item_comes_once_and_the_best_first(seed: int, share: float) -> None:
    chance = np.random.default_rng(seed)
    count = int(chance.integers(1, 30))
    scores = chance.random(count)
    vectors = l2_normalise(chance.standard_normal((count, 5)))
    order = marginal_relevance_order(scores, vectors, share)
    assert sorted(order) == list(range(count))
    assert order[0] == int(np.argmax(scores))
    if share == 1.0:
        assert order == np.argsort(-scores, kind="stable").tolist()


def test_what_is_new_comes_before_more_of_the_same() -> None:
    vectors = l2_normalise(np.array([[1, 0.01, 0], [1, 0, 0], [1, 0.02, 0], [0, 1, 0], [0, 0, 1]]))
    scores = [0.9, 0.89, 0.88, 0.5, 0.4]
    assert marginal_relevance_order(scores, vectors, 1.0) == [0, 1, 2, 3, 4]
    assert marginal_relevance_order(scores, vectors, 0.5)[:3] == [0, 3, 4]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_items_without_a_vector_or_all_alike_are_no_trouble(share: float) -> None:
    assert marginal_relevance_order([], np.empty((0, 3), np.float32), share) == []
    assert marginal_relevance_order([0.5], np.ones((1, 1), np.float32), share) == [0]
    alike = np.zeros((3, 3), np.float32)
    assert marginal_relevance_order([0.5, 0.5, 0.5], alike, share) == [0, 1, 2]
