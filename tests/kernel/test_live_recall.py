"""Recall while serving: what counts as a miss, and what is kept of a search."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from mirada.kernel.audience import Audience, Scope
from mirada.kernel.filters import ImageFilter
from mirada.kernel.images import ImageStatus
from mirada.kernel.intervals import TWO_SIDED, wilson_high
from mirada.kernel.live_recall import Comparison, Sample, as_data, compared, scope_of
from mirada.kernel.similarity import QueryForm, SearchWay

NOTHING: frozenset[int] = frozenset()


def answered(ids: list[int], k: int | None = None) -> Sample:
    """An answer: the similarity of id n is 1 - n / 100."""
    return Sample(
        vector=np.zeros(2, np.float32),
        scope=Scope(Audience(None)),
        form=QueryForm.PICTURE,
        way=SearchWay.HNSW,
        factor=1,
        k=k or len(ids),
        ids=tuple(ids),
        similarities=tuple(1 - id_ / 100 for id_ in ids),
        permitted_count=50,
        change_seq=7,
        snapshot="s1",
    )


def against(sample: Sample, ids: list[int], changed: frozenset[int] = NOTHING) -> Comparison | None:
    return compared(sample, ids, [1 - id_ / 100 for id_ in ids], changed)


FORTY = list(range(40))


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (list(range(10)), 10),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 11], 9),
        (list(range(30, 40)), 0),
    ],
)
def test_recall_is_of_the_ten_nearest(ids: list[int], found: int):
    assert against(answered(ids), FORTY) == Comparison(10, found)


def test_deeper_ranks_do_not_count_and_fewer_wanted_are_fewer():
    assert against(answered([*range(10), *range(20, 35)]), FORTY) == Comparison(10, 10)
    assert against(answered([0, 1, 3]), FORTY) == Comparison(3, 2)


def test_of_equal_neighbours_either_is_right():
    sample = replace(answered([0, 1]), similarities=(0.9, 0.8))
    assert compared(sample, [0, 5, 6], [0.9, 0.8 + 1e-6, 0.8], NOTHING) == Comparison(2, 2)


@pytest.mark.parametrize(
    ("ids", "truth", "changed"),
    [
        # Three came since, and stand first.
        (list(range(10)), [100, 101, 102, *range(30)], {100, 101, 102}),
        # One of the answer was deleted since; an eleventh has come up.
        (list(range(10)), [*range(9), *range(10, 40)], {9}),
        # One was replaced, and stands elsewhere now.
        (list(range(10)), [1, 2, 0, *range(3, 40)], {0}),
    ],
)
def test_changes_in_between_are_no_misses(ids: list[int], truth: list[int], changed: set[int]):
    # What changed may stand anywhere: its similarity is not looked at.
    comparison = against(answered(ids), truth, frozenset(changed))
    assert comparison is not None
    assert comparison.found == comparison.wanted == 10 - len(changed & set(ids))


def test_what_has_changed_too_much_is_not_compared():
    everything = frozenset(range(40))
    assert against(answered(list(range(10))), FORTY, everything) is None
    assert against(answered(list(range(10))), FORTY, frozenset(range(10, 40))) == Comparison(10, 10)
    assert against(answered(list(range(10))), FORTY, frozenset(range(5, 40))) == Comparison(5, 5)
    assert against(answered([]), []) is None


SOMEBODY = Audience(3, owner_ids=frozenset({3, 9}), with_remembered=True)
SAMPLES: dict[str, Any] = {
    "owner_ids": frozenset({4, 5}),
    "is_public": True,
    "statuses": frozenset({ImageStatus.READY, ImageStatus.PENDING}),
    "is_animated": False,
    "has_prompt": True,
    "created_after": datetime(2026, 5, 1, 12, tzinfo=UTC),
    "created_before": datetime(2026, 6, 1, tzinfo=UTC),
}


def test_what_was_permitted_is_kept_as_data():
    known = {field.name for field in fields(ImageFilter)}
    asked = ImageFilter(**{name: value for name, value in SAMPLES.items() if name in known})
    for scope in (Scope(SOMEBODY, asked), Scope(Audience(None)), Scope(SOMEBODY)):
        data = as_data(scope)
        assert data is not None
        assert scope_of(data) == scope


def test_words_are_not_kept():
    asked = ImageFilter(is_public=True)
    for words in ("holiday.png", frozenset({"cat", "dog"})):
        # As of a file's name, or labels: any attribute that holds words.
        object.__setattr__(asked, "is_animated", words)
        assert as_data(Scope(SOMEBODY, asked)) is None


def test_the_upper_end_mirrors_the_lower_one():
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    assert wilson_high(81, 263, TWO_SIDED) == pytest.approx(0.3662, abs=5e-5)
    assert wilson_high(0, 20, TWO_SIDED) == pytest.approx(0.1611, abs=5e-5)
    assert wilson_high(0, 0) == 1.0
