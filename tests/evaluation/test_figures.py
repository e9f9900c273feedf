"""Recall@10 and nDCG@10 of small rankings, by hand."""

from __future__ import annotations

import math

import pytest

from mirada.evaluation.figures import Judged, QueryFigures, mean_change, means, query_figures


def figures_of(ranking: list[int], good: set[int], bad: set[int] = frozenset()) -> QueryFigures:  # type: ignore[assignment]
    of_judged = [each for each in ranking if each in good | bad]
    return query_figures(ranking, of_judged, Judged(frozenset(good), frozenset(bad)))


def test_recall_counts_the_first_ten_alone() -> None:
    found = figures_of(list(range(1, 31)), {1, 10, 11, 30})
    assert found.recall == pytest.approx(2 / 4)
    assert (found.good, found.good_shown, found.shown) == (4, 2, 10)


def test_ten_places_filled_with_good_pictures_are_all_that_can_be() -> None:
    found = figures_of(list(range(1, 31)), set(range(1, 21)))
    assert (found.recall, found.ndcg) == (1.0, pytest.approx(1.0))


def test_ndcg_discounts_by_place() -> None:
    # Good at places 1 and 3: 1/log2(2) + 1/log2(4) = 1.5; ideal: 1/log2(2) + 1/log2(3) = 1.6309.
    found = figures_of([7, 8, 9], {7, 9})
    assert found.ndcg == pytest.approx(1.5 / (1 + 1 / math.log2(3)))
    assert found.ndcg == pytest.approx(0.9197, abs=1e-4)


def test_what_is_beyond_the_tenth_place_counts_nothing() -> None:
    found = figures_of(list(range(1, 31)), {11, 12})
    assert (found.recall, found.ndcg, found.good_shown) == (0, 0, 0)


def test_among_judged_pictures_alone_the_unjudged_ones_in_front_do_not_matter() -> None:
    unjudged = list(range(100, 120))
    found = figures_of([*unjudged, 1, 2, 3], {1, 3}, {2})
    assert (found.recall, found.ndcg) == (0, 0)
    assert found.ndcg_of_judged == pytest.approx(0.9197, abs=1e-4)
    assert figures_of([*unjudged, 1], {1}).ndcg_of_judged is None


def test_means_say_how_much_of_what_was_shown_is_judged_or_bad() -> None:
    found = means([figures_of([1, 2, 3, 4], {1}, {2}), figures_of([1, 2, 3, 4], {4}, {2, 3})])
    assert found is not None
    assert found.queries == 2
    assert found.recall.value == 1
    assert found.bad_share == pytest.approx(3 / 8)
    assert found.judged_share == pytest.approx(5 / 8)
    assert found.ndcg.value == pytest.approx((1 + 1 / math.log2(5)) / 2)
    assert found.ndcg.low < found.ndcg.value < found.ndcg.high


def test_no_query_has_no_mean() -> None:
    assert means([]) is None


def test_a_change_is_measured_by_pairs() -> None:
    hard_and_easy = [(0.1, 0.2), (0.9, 1.0), (0.5, 0.58), (0.3, 0.42)]
    found = mean_change(hard_and_easy)
    assert found.value == pytest.approx(0.1)
    # The queries differ by 0.8 and the changes by 0.04: only these make the width.
    assert 0.05 < found.low < found.high < 0.15
    nothing = mean_change([(0.5, 0.5)] * 20)
    assert nothing.value == 0
    assert nothing.low < 0 < nothing.high < 0.2
