"""What is known of the ways of searching: an interval for a share, and trust that only narrows."""

from __future__ import annotations

import pytest

from mirada.kernel.intervals import TWO_SIDED, wilson_low
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.kernel.ways import MEASURED

HNSW = (QueryForm.TEXT, SearchWay.HNSW)


@pytest.mark.parametrize(
    ("hits", "trials", "lower"),
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    [(81, 263, 0.2553), (15, 148, 0.0624), (0, 20, 0.0), (1, 29, 0.0061)],
)
def test_wilsons_lower_end_is_as_published(hits: int, trials: int, lower: float):
    assert wilson_low(hits, trials, TWO_SIDED) == pytest.approx(lower, abs=5e-5)


def test_no_trial_shows_nothing_and_few_show_little():
    assert wilson_low(0, 0) == 0.0
    assert wilson_low(10, 10) < 0.8
    assert 0.98 < wilson_low(280, 280) < 0.995


def test_trust_is_of_one_way_and_form_and_what_it_came_from_stays_as_it_was():
    wider = MEASURED.widened(*HNSW, 2.0)
    assert wider.factor(*HNSW) == 2.0
    assert wider.factor(QueryForm.PICTURE, SearchWay.HNSW) == 1.0
    assert MEASURED.widened(*HNSW, 0.5).factor(*HNSW) == 1.0
    out = wider.without(*HNSW, "recall 0.91 of 400 live queries")
    assert out.left_out == {HNSW: "recall 0.91 of 400 live queries"}
    assert (wider.left_out, MEASURED.factors) == ({}, {})
