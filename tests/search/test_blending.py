"""Two rankings together: the threshold rule never stops before the best are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.search.blending import Ranked, blended, is_settled


@given(
    seed=st.integers(0, 10_000),
    weight=st.floats(0, 1),
    k=st.integers(1, 6),
    lacking=st.floats(0, 1),
)
def test_what_is_settled_is_what_scoring_everything_finds(
    seed: int, weight: float, k: int, lacking: float
) -> None:
    chance = np.random.default_rng(seed)
    count = int(chance.integers(1, 40))
    picture = chance.uniform(-1, 1, count)
    prompt = np.where(chance.random(count) < lacking, np.nan, chance.uniform(-1, 1, count))
    with_prompt = np.flatnonzero(~np.isnan(prompt))
    neutral = float(chance.uniform(-1, 1))
    whole = [
        blended(p, neutral if np.isnan(q) else q, weight)
        for p, q in zip(picture, prompt, strict=True)
    ]
    by_picture = np.argsort(-picture)
    by_prompt = with_prompt[np.argsort(-prompt[with_prompt])]
    for depth in range(1, count + 2):
        read = set(by_picture[:depth].tolist()) | set(by_prompt[:depth].tolist())
        best = sorted((whole[item] for item in read), reverse=True)[:k]
        kth = best[k - 1] if len(best) >= k else None
        pictures = Ranked(float(picture[by_picture[:depth]].min()), depth > count, 0.0)
        lowest = float(prompt[by_prompt[:depth]].min()) if with_prompt.size else -1.0
        prompts = Ranked(lowest, depth > with_prompt.size, neutral)
        if is_settled(kth, pictures, prompts, weight):
            assert best == pytest.approx(sorted(whole, reverse=True)[:k], abs=1e-12)
            return
    pytest.fail("It never settled, although everything was read.")


def test_the_ends_of_the_scale_compare_one_thing_alone() -> None:
    assert blended(0.3, 0.9, 0.0) == 0.3
    assert blended(0.3, 0.9, 1.0) == 0.9
