"""Laws of reciprocal rank fusion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.search.rank_fusion import DOUBTFUL_SHARE, RRF_K, WeightedRanking, reciprocal_rank_fusion

IDS = st.lists(st.integers(1, 30), unique=True, max_size=15)
WEIGHTS = st.floats(0, 10)
RANKINGS = st.lists(st.tuples(WEIGHTS, IDS), max_size=4).map(
    lambda parts: [WeightedRanking(f"s{n}", weight, ids) for n, (weight, ids) in enumerate(parts)]
)


def ids_of(*rankings: WeightedRanking) -> list[int]:
    return [found.id for found in reciprocal_rank_fusion(rankings)]


def test_the_score_is_that_of_the_paper() -> None:
    pictures = WeightedRanking("pictures", 1.0, [5, 9])
    words = WeightedRanking("words", 2.0, [9])
    first, second = reciprocal_rank_fusion([pictures, words])
    assert (first.id, first.ranks) == (9, {"pictures": 2, "words": 1})
    assert first.score == pytest.approx(1 / 62 + 2 / 61)
    assert (second.id, second.score, second.ranks) == (5, pytest.approx(1 / 61), {"pictures": 1})


@given(IDS, st.floats(0.01, 10))
def test_one_source_alone_keeps_its_order(ids: list[int], weight: float) -> None:
    assert ids_of(WeightedRanking("one", weight, ids)) == ids


@given(RANKINGS)
def test_everything_found_with_a_weight_is_there_once_best_first_ties_by_id(
    rankings: list[WeightedRanking],
) -> None:
    fused = reciprocal_rank_fusion(rankings)
    assert {found.id for found in fused} == {i for r in rankings if r.weight > 0 for i in r.ids}
    keys = [(-found.score, found.id) for found in fused]
    assert keys == sorted(set(keys))
    for found in fused:
        for ranking in rankings:
            assert (ranking.source in found.ranks) == (
                ranking.weight > 0 and found.id in ranking.ids
            )
            if ranking.source in found.ranks:
                assert ranking.ids[found.ranks[ranking.source] - 1] == found.id


@given(RANKINGS, st.integers(0, 3), st.integers(0, 14))
def test_a_better_place_never_lowers_a_score(
    rankings: list[WeightedRanking], which: int, place: int
) -> None:
    if which >= len(rankings) or not 0 < place < len(rankings[which].ids):
        return
    raised = list(rankings[which].ids)
    raised[place - 1], raised[place] = raised[place], raised[place - 1]
    better = [
        WeightedRanking(r.source, r.weight, raised if n == which else r.ids)
        for n, r in enumerate(rankings)
    ]
    id_ = raised[place - 1]
    score = {
        name: next((f.score for f in reciprocal_rank_fusion(each) if f.id == id_), 0.0)
        for name, each in (("before", rankings), ("after", better))
    }
    assert score["after"] >= score["before"]


@given(RANKINGS)
def test_the_order_of_sources_does_not_matter_beyond_rounding(
    rankings: list[WeightedRanking],
) -> None:
    scores = {f.id: f.score for f in reciprocal_rank_fusion(rankings)}
    turned = {f.id: f.score for f in reciprocal_rank_fusion(rankings[::-1])}
    assert scores == pytest.approx(turned)


@given(RANKINGS)
def test_no_score_exceeds_the_first_place_everywhere(rankings: list[WeightedRanking]) -> None:
    most = sum(r.weight for r in rankings) / (RRF_K + 1)
    assert all(0 <= f.score <= most * (1 + 1e-9) for f in reciprocal_rank_fusion(rankings))


@given(st.floats(0.1, 10), st.floats(0.1, 10), IDS)
def test_where_a_source_has_nothing_of_anything_the_other_speaks_for_it(
    weight: float, other: float, ids: list[int]
) -> None:
    pictures = WeightedRanking("pictures", weight, ids, silent=())
    prompts = WeightedRanking("prompts", other, [], silent=ids)
    fused = reciprocal_rank_fusion([pictures, prompts])
    assert [found.id for found in fused] == ids
    assert [found.score for found in fused] == pytest.approx(
        [(weight + other) / (RRF_K + rank) for rank in range(1, len(ids) + 1)]
    )


def test_having_no_prompt_is_no_worse_than_having_an_unfitting_one() -> None:
    pictures = WeightedRanking("pictures", 1.0, [1, 2, 3], silent=())
    prompts = WeightedRanking("prompts", 1.0, [3], silent=[1])
    # 2 has a prompt, which was not found.
    assert ids_of(pictures, prompts) == [1, 3, 2]


def test_words_add_and_neither_speak_for_a_source_nor_are_spoken_for() -> None:
    pictures = WeightedRanking("pictures", 1.0, [1], silent=[2])
    words = WeightedRanking("words", 1.0, [2])
    assert [found.score for found in reciprocal_rank_fusion([pictures, words])] == [
        1 / (RRF_K + 1),
        1 / (RRF_K + 1),
    ]


def test_what_a_source_doubts_counts_a_tenth() -> None:
    doubted = WeightedRanking("prompts", 1.0, [1, 2], sure=1)
    first, second = reciprocal_rank_fusion([doubted])
    assert first.score == pytest.approx(1 / (RRF_K + 1))
    assert second.score == pytest.approx(DOUBTFUL_SHARE / (RRF_K + 2))


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        reciprocal_rank_fusion([WeightedRanking("one", weight, [1])])


def test_a_source_may_not_rank_anything_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        reciprocal_rank_fusion([WeightedRanking("one", 1.0, [1, 2, 1])])
