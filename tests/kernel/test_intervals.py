"""Intervals: right by published tables, and as wide as they say on samples of a known mean."""

from __future__ import annotations

import numpy as np
import pytest

from mirada.kernel.intervals import mean_estimate, t_quantile, wilson_estimate

# Source: NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2, column 0.975.
T_TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 20: 2.086, 100: 1.984}


@pytest.mark.parametrize(("degrees", "expected"), T_TABLE.items())
def test_students_quantiles_are_those_of_the_table(degrees: int, expected: float) -> None:
    assert t_quantile(degrees) == pytest.approx(expected, abs=6e-4)


def test_a_mean_has_students_interval_cut_to_its_range() -> None:
    # Mean 0.5, standard deviation 0.2, t of two degrees 4.303: half of the width is 0.4968.
    found = mean_estimate([0.3, 0.5, 0.7], 0, 1)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.0032, 0.9968), abs=1e-4)
    wide = mean_estimate([0.1, 0.9], 0, 1)
    assert (wide.low, wide.high) == (0, 1)


def test_a_share_has_wilsons_interval() -> None:
    # Wilson for 8 of 10, from the formula by hand.
    found = wilson_estimate([1] * 8 + [0] * 2)
    assert (found.value, found.low, found.high) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("count", [1, 3, 50])
def test_values_that_are_all_alike_leave_a_doubt(value: float, count: int) -> None:
    found = mean_estimate([value] * count, 0, 1)
    assert found.low < found.high
    assert 0 <= found.low <= value <= found.high <= 1
    more = mean_estimate([value] * count * 4, 0, 1)
    assert more.high - more.low < found.high - found.low


@pytest.mark.parametrize("count", [5, 20, 80])
def test_intervals_hold_the_true_mean_about_as_often_as_they_say(count: int) -> None:
    random = np.random.default_rng(count)
    # Recall of queries with four good pictures; its true mean is 0.7.
    samples = random.binomial(4, 0.7, (1_000, count)) / 4
    for estimate in (lambda row: mean_estimate(row, 0, 1), wilson_estimate):
        held = [found.low <= 0.7 <= found.high for found in map(estimate, samples.tolist())]
        assert np.mean(held) > 0.92
