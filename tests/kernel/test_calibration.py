"""The scale that is measured of a collection, and the questions it is measured with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.kernel.calibration import (
    LEAST_SAMPLE,
    RIVAL_SHARE,
    LeaveOneOut,
    Neighbours,
    Scale,
    blended,
    calibration_of,
)
from mirada.kernel.embeddings import Matrix, l2_normalise

cosine = st.floats(-1, 1)
width = st.floats(0.01, 1)
scales = st.builds(Scale, cosine, width, width)


def rows(count: int, seed: int, near: Matrix | None = None, noise: float = 0.5) -> Matrix:
    """Unit rows: anywhere, or around others."""
    drawn = np.random.default_rng(seed).standard_normal((count, 32)) / 32**0.5
    return l2_normalise(drawn if near is None else near + noise * drawn)


@given(scales, st.lists(cosine, min_size=2, max_size=30))
def test_a_higher_cosine_is_never_less_relevant(scale: Scale, cosines: list[float]) -> None:
    found = scale.relevances(sorted(cosines))
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) >= 0).all()


@given(scales)
def test_the_scale_goes_through_its_three_points(scale: Scale) -> None:
    points = [scale.limit - scale.below, scale.limit, scale.limit + scale.above]
    assert scale.relevances(points) == pytest.approx([0.05, 0.5, 0.95], abs=1e-6)
    assert scale.relevances([scale.limit])[0] >= 0.5


@given(scales, scales, st.floats(0.01, 10))
def test_the_limit_of_a_blend_moves_steadily_with_the_weights(
    one: Scale, other: Scale, weight: float
) -> None:
    whole = blended([(one, weight), (other, 1.0)], weight + 1.0)
    low, high = sorted([one.limit, other.limit])
    assert low - 1e-9 <= whole.limit <= high + 1e-9
    nearly = blended([(one, weight * 1.001), (other, 1.0)], weight * 1.001 + 1.0)
    assert nearly.limit == pytest.approx(whole.limit, abs=2e-3)
    assert blended([(one, 1.0), (other, 1e-9)], 1.0).limit == pytest.approx(one.limit, abs=1e-6)


def test_the_limit_refuses_near_misses_where_it_can_and_keeps_finds_where_it_cannot() -> None:
    rng = np.random.default_rng(1)
    misses = rng.normal(0.3, 0.05, 500)
    apart = calibration_of(rng.normal(0.8, 0.05, 500), misses)
    mixed = calibration_of(rng.normal(0.35, 0.05, 500), misses)
    assert apart is not None
    assert mixed is not None
    assert (misses < apart.scale.limit).mean() == pytest.approx(0.95, abs=0.01)
    assert mixed.scale.limit < apart.scale.limit
    assert mixed.scale.limit == mixed.find_low


def test_too_few_scores_are_no_measurement() -> None:
    enough, few = np.linspace(0, 1, LEAST_SAMPLE), np.linspace(0, 1, LEAST_SAMPLE - 1)
    assert calibration_of(enough, enough) is not None
    assert calibration_of(few, enough) is None
    assert calibration_of(enough, few) is None


def test_the_near_miss_of_a_probe_is_the_best_item_of_another_thing() -> None:
    things = rows(3, seed=1)
    # The third thing has no item; the second has two.
    items = np.concatenate([things[:1], things[1:2], rows(1, 2, things[1:2], 0.1)])
    probes, named = np.repeat(things, 2, axis=0), np.repeat(np.arange(3), 2)
    measured = LeaveOneOut(probes, named)
    measured.add(items)
    assert measured.finds == pytest.approx([1.0] * 4)
    scores = things @ items.T
    expected = [scores[0, 1:].max(), scores[1, 0], scores[2].max()]
    assert measured.near_misses == pytest.approx(np.repeat(expected, 2), abs=1e-6)


def test_a_rival_that_describes_the_item_better_lowers_a_probes_score_with_it() -> None:
    things = rows(4, seed=3)
    measured = LeaveOneOut(things, np.arange(4), things)
    measured.add(things[:1])
    scores = things @ things[0]
    # Its own probe has no better rival than the next thing; every other one has the item's own.
    assert measured.finds == pytest.approx([1.0 - RIVAL_SHARE * scores[1:].max()], abs=1e-6)
    assert measured.near_misses == pytest.approx(scores[1:] - RIVAL_SHARE, abs=1e-6)


@pytest.mark.parametrize("page", [1, 7, 100])
def test_pages_change_nothing(page: int) -> None:
    things = rows(20, seed=4)
    items = rows(100, 5, np.repeat(things, 5, axis=0))
    whole, paged = (LeaveOneOut(things, np.arange(20), things) for _ in range(2))
    whole.add(items)
    alike = Neighbours(np.arange(10), items[:10])
    alone = Neighbours(np.arange(10), items[:10])
    alike.add(np.arange(100), items)
    for start in range(0, 100, page):
        paged.add(items[start : start + page])
        ids = np.arange(start, min(start + page, 100))
        alone.add(ids, items[start : start + page])
    assert paged.finds == pytest.approx(whole.finds, abs=1e-6)
    assert paged.near_misses == pytest.approx(whole.near_misses, abs=1e-6)
    assert alone.best == pytest.approx(alike.best, abs=1e-6)


def test_nothing_is_its_own_neighbour() -> None:
    items = rows(5, seed=6)
    measured = Neighbours(np.array([11, 13]), items[:2])
    measured.add(np.array([11, 13, 17, 19, 23]), items)
    products = items @ items.T
    np.fill_diagonal(products, -1)
    assert measured.best == pytest.approx(products[:2].max(axis=1))
    assert Neighbours(np.array([11]), items[:1]).best.size == 0
