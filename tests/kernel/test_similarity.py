from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.kernel.similarity import (
    Verdict,
    best_matches,
    cosines,
    relevances,
    sampling_order,
    verdict,
)

cosine = st.floats(-1, 1)
scores = st.lists(cosine, max_size=60)


def relevance(similarity: float, background: npt.ArrayLike, collection_size: int) -> float:
    return float(relevances([similarity], background, collection_size)[0])


@given(st.lists(cosine, min_size=1, max_size=30), scores, st.integers(0, 10**9))
def test_relevance_stays_between_nothing_and_certainty(
    similarities: list[float], background: list[float], size: int
):
    found = relevances(similarities, background, size)
    assert found.shape == (len(similarities),)
    assert ((found >= 0) & (found <= 1)).all()


@given(st.lists(cosine, min_size=2, max_size=30), scores, st.integers(1, 10**9))
def test_a_higher_similarity_is_never_less_relevant(
    similarities: list[float], background: list[float], size: int
):
    found = relevances(sorted(similarities), background, size)
    assert (np.diff(found) >= 0).all()


@given(cosine, scores, st.integers(1, 10**6))
def test_the_same_score_is_no_more_relevant_among_more_pictures_unless_more_share_it(
    similarity: float, background: list[float], size: int
):
    alone = [score for score in background if score < similarity]
    assert relevance(similarity, alone, size) >= relevance(similarity, alone, size * 10) - 1e-12


def test_nothing_is_relevant_in_nothing():
    assert relevance(1.0, [], 0) == 0.0
    assert relevances([], [0.1], 10).shape == (0,)
    assert verdict([]) is Verdict.NOTHING


@pytest.mark.parametrize("size", [300, 10_000, 1_000_000])
def test_the_best_of_mere_noise_is_rarely_called_relevant(size: int):
    rng = np.random.default_rng(1)
    called = {Verdict.NOTHING: 0, Verdict.WEAK: 0, Verdict.RELEVANT: 0}
    for _ in range(200):
        best = 0.18 + 0.03 * _largest_of(rng, size)
        background = rng.normal(0.18, 0.03, 512)
        called[verdict([relevance(best, background, size)])] += 1
    assert called[Verdict.RELEVANT] <= 10
    assert called[Verdict.NOTHING] >= 170


def _largest_of(rng: np.random.Generator, size: int) -> float:
    return float(
        max(
            rng.standard_normal(min(size - start, 100_000)).max()
            for start in range(0, size, 100_000)
        )
    )


@pytest.mark.parametrize("size", [300, 100_000])
def test_a_picture_among_its_like_is_relevant_to_itself(size: int):
    background = np.random.default_rng(2).normal(0.5, 0.1, 512)
    assert verdict([relevance(0.99, background, size)]) is Verdict.RELEVANT


def test_a_hundredth_of_a_large_collection_is_recognised_by_being_so_many():
    rng = np.random.default_rng(3)
    background = np.concatenate([rng.normal(0.18, 0.02, 502), rng.normal(0.30, 0.01, 10)])
    few = relevance(0.30, background[:502], 500_000)
    assert relevance(0.30, background, 500_000) > max(0.9, few)


def test_true_matches_in_the_background_do_not_hide_themselves():
    rng = np.random.default_rng(4)
    background = np.concatenate([rng.normal(0.18, 0.02, 230), rng.normal(0.30, 0.01, 70)])
    assert verdict([relevance(0.31, background, 300)]) is Verdict.RELEVANT


@pytest.mark.parametrize(
    ("similarity", "background", "expected"),
    [
        (1.0, [1.0], Verdict.RELEVANT),
        (0.95, [0.95, 0.5, 0.45, 0.55], Verdict.RELEVANT),
        (0.31, [0.31, 0.2, 0.18, 0.22, 0.19], Verdict.RELEVANT),
        (0.21, [0.21, 0.2, 0.18, 0.22, 0.19, 0.17, 0.2, 0.16], Verdict.NOTHING),
        (0.02, [0.02], Verdict.NOTHING),
    ],
)
def test_a_handful_of_pictures_is_judged_sensibly(
    similarity: float, background: list[float], expected: Verdict
):
    assert verdict([relevance(similarity, background, len(background))]) is expected


def test_equal_vectors_get_equal_cosines_wherever_they_lie():
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((1000, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[[3, 500, 998]] = vectors[7]
    similarities = cosines(vectors, vectors[7])
    assert similarities[3] == similarities[7] == similarities[500] == similarities[998]
    assert similarities.max() <= 1.0
    ids = np.arange(1000, 0, -1)
    assert [match.id for match in best_matches(ids, similarities, 4)] == [2, 500, 993, 997]


def test_the_background_sample_changes_by_at_most_one_when_a_picture_comes():
    ids = np.arange(1, 5_001)
    sample = set(ids[np.argsort(sampling_order(ids))[:512]].tolist())
    more = np.arange(1, 5_002)
    assert len(sample - set(more[np.argsort(sampling_order(more))[:512]].tolist())) <= 1
    assert 200 < np.mean(sorted(sample)) / 10 < 300
