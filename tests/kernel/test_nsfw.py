from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.kernel.errors import InvalidInput
from mirada.kernel.nsfw import (
    PRIOR_LOGIT,
    PROMPT_PAIRS,
    SAFE_PROMPTS,
    UNSAFE_PROMPTS,
    NsfwPolicy,
    nsfw_score,
)

cosine = st.floats(-1, 1)
pairs = st.lists(st.tuples(cosine, cosine), min_size=1, max_size=12)


@given(pairs, st.floats(0.1, 200))
def test_the_score_is_a_share_and_the_order_of_pairs_does_not_matter(
    near: list[tuple[float, float]], scale: float
):
    unsafe, safe = np.array(near).T
    score = nsfw_score(unsafe, safe, scale)
    assert 0 <= score <= 1
    assert nsfw_score(unsafe[::-1], safe[::-1], scale) == pytest.approx(score, abs=1e-12)


@given(pairs, st.integers(0, 11), st.floats(0, 1))
def test_nearer_to_an_unsafe_prompt_is_never_safer(
    near: list[tuple[float, float]], pair: int, nearer: float
):
    unsafe, safe = np.array(near).T
    moved = unsafe.copy()
    moved[pair % len(moved)] += nearer
    assert nsfw_score(moved, safe, 30.0) >= nsfw_score(unsafe, safe, 30.0)


@given(pairs, st.floats(-0.5, 0.5))
def test_what_both_prompts_of_a_pair_share_cancels(near: list[tuple[float, float]], shared: float):
    unsafe, safe = np.array(near).T
    assert nsfw_score(unsafe + shared, safe + shared, 20.0) == pytest.approx(
        nsfw_score(unsafe, safe, 20.0), abs=1e-9
    )


def test_the_score_is_the_mean_of_softmaxes_within_pairs_with_a_prior():
    scale, unsafe, safe = 10.0, [0.3, -0.1], [0.1, 0.2]
    expected = 0.0
    for one, other in zip(unsafe, safe, strict=True):
        bad, good = math.exp(scale * one + PRIOR_LOGIT), math.exp(scale * other)
        expected += bad / (bad + good) / 2
    assert nsfw_score(unsafe, safe, scale) == pytest.approx(expected, abs=1e-12)


def test_a_picture_as_near_to_both_prompts_is_taken_for_safe_and_a_clear_one_is_not():
    even = np.zeros(len(PROMPT_PAIRS))
    assert nsfw_score(even, even, 100.0) < 0.05
    assert nsfw_score(even + 0.1, even, 100.0) > 0.95
    assert nsfw_score(even + 1, even - 1, 1e4) == 1.0


@pytest.mark.parametrize(
    ("unsafe", "safe"),
    [([], []), ([0.1], [0.1, 0.2]), ([math.nan], [0.0]), ([0.0], [math.inf]), (0.1, 0.1)],
)
def test_what_is_no_list_of_pairs_is_refused(unsafe, safe):
    with pytest.raises(InvalidInput):
        nsfw_score(unsafe, safe, 10.0)


def test_every_prompt_stands_in_one_pair():
    assert len(UNSAFE_PROMPTS) == len(SAFE_PROMPTS) == len(PROMPT_PAIRS)
    assert len({*UNSAFE_PROMPTS, *SAFE_PROMPTS}) == 2 * len(PROMPT_PAIRS)


def test_the_policies_are_named_as_they_are_configured():
    assert [policy.value for policy in NsfwPolicy] == ["off", "flag", "hide"]
