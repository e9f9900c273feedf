"""Components and numbers of groups: what is connected is found, and only that."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.groups.near_duplicates import near_pairs
from mirada.kernel.clustering import (
    K_LADDER,
    MOST_CHOSEN,
    Components,
    best_k,
    coarse_ks,
    fine_ks,
    nearest_centres,
    silhouette,
    spread_seeds,
)
from mirada.kernel.embeddings import Matrix, l2_normalise

GRAPHS = st.integers(1, 40).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=80),
    )
)


def walked(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """Return the components as a walk along the pairs finds them."""
    neighbours: list[set[int]] = [set() for _ in range(count)]
    for some, other in pairs:
        neighbours[some].add(other)
        neighbours[other].add(some)
    labels = [-1] * count
    for start in range(count):
        label = max(labels, default=-1) + 1
        ahead = [start] if labels[start] < 0 else []
        while ahead:
            here = ahead.pop()
            if labels[here] < 0:
                labels[here] = label
                ahead += neighbours[here]
    return labels


def joined(count: int, pairs: list[tuple[int, int]], at_once: int) -> list[int]:
    components = Components(count)
    for start in range(0, len(pairs), at_once):
        some, others = np.array(pairs[start : start + at_once], np.int64).T
        components.join(some, others)
    return components.labels().tolist()  # type: ignore[no-any-return]


@given(GRAPHS, st.integers(1, 100))
def test_components_are_what_a_walk_finds(
    graph: tuple[int, list[tuple[int, int]]], at_once: int
) -> None:
    count, pairs = graph
    assert joined(count, pairs, at_once) == walked(count, pairs)


@given(GRAPHS, st.randoms(use_true_random=False))
def test_the_order_and_direction_of_pairs_do_not_matter(
    graph: tuple[int, list[tuple[int, int]]], random: object
) -> None:
    count, pairs = graph
    shuffled = [pair[::-1] for pair in pairs]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert joined(count, shuffled, 7) == joined(count, pairs, 100)


def test_a_long_chain_is_one_component_whichever_way_it_is_told() -> None:
    links = np.arange(100_000 - 1)
    for some, others in ((links, links + 1), (links[::-1], links[::-1] + 1)):
        components = Components(100_000)
        components.join(some, others)
        assert components.labels().max() == 0


def planted(groups: int, per_group: int, spread: float = 0.3, seed: int = 0) -> Matrix:
    """Return rows around random directions, group by group."""
    rng = np.random.default_rng(seed)
    centres = l2_normalise(rng.standard_normal((groups, 64)))
    noise = rng.standard_normal((groups * per_group, 64)) * spread / 8
    return l2_normalise(np.repeat(centres, per_group, axis=0) + noise)


@pytest.mark.parametrize("seed", range(5))
def test_seeds_fall_into_different_groups(seed: int) -> None:
    seeds = spread_seeds(planted(20, 50), 20, seed)
    assert len({int(row) // 50 for row in _rows_of(seeds, planted(20, 50))}) == 20


def _rows_of(seeds: Matrix, vectors: Matrix) -> list[int]:
    return [int(np.flatnonzero((vectors == seed).all(axis=1))[0]) for seed in seeds]


def test_equal_rows_have_one_seed() -> None:
    vectors = np.repeat(planted(2, 1), 30, axis=0)
    assert len(spread_seeds(vectors, 10, 0)) == 2
    assert len(spread_seeds(vectors[:30], 10, 0)) == 1


def test_the_silhouette_is_best_for_the_true_number_of_groups() -> None:
    vectors = planted(7, 40)
    centres = l2_normalise(vectors.reshape(7, 40, 64).mean(axis=1))
    halves = l2_normalise(vectors.reshape(14, 20, 64).mean(axis=1))
    merged = np.vstack([l2_normalise(centres[:2].mean(axis=0)), centres[2:]])
    assert silhouette(vectors, centres) > 0.9
    assert silhouette(vectors, centres) > silhouette(vectors, merged) > 0
    assert silhouette(vectors, centres) > silhouette(vectors, halves)
    assert silhouette(vectors, centres[:1]) == 0
    assert silhouette(vectors[:0], centres) == 0


@given(st.integers(0, 10_000_000))
def test_the_numbers_of_groups_tried_grow_with_the_library_and_end(row_count: int) -> None:
    tried = coarse_ks(row_count)
    assert list(tried) == sorted(set(tried))
    assert 1 <= tried[-1] <= MOST_CHOSEN
    assert tried == (1,) or 2 * tried[-1] ** 2 <= row_count
    assert len(tried) == 1 or all(b <= 2 * a for a, b in itertools.pairwise(tried))


def test_a_small_library_is_one_group_and_a_large_one_many() -> None:
    assert [coarse_ks(count)[-1] for count in (0, 7, 8, 300, 5_000, 10**6)] == [
        1,
        1,
        2,
        12,
        50,
        MOST_CHOSEN,
    ]


@given(st.dictionaries(st.sampled_from(K_LADDER), st.floats(0, 1), min_size=1))
def test_the_second_look_is_around_the_best_and_at_nothing_twice(
    silhouettes: dict[int, float],
) -> None:
    best = best_k(silhouettes)
    assert silhouettes[best] == max(silhouettes.values())
    fine = fine_ks(silhouettes)
    assert not set(fine) & set(silhouettes)
    tried = sorted(silhouettes)
    place = tried.index(best)
    for k in fine:
        assert tried[max(place - 1, 0)] < k < tried[min(place + 1, len(tried) - 1)]


def test_of_equally_good_numbers_the_smallest_is_taken() -> None:
    assert best_k({2: 0.4, 8: 0.6, 12: 0.6}) == 8


def test_the_nearest_centre_is_told_with_its_cosine() -> None:
    centres = l2_normalise([[1, 0, 0], [0, 1, 0]])
    nearest, similarity = nearest_centres(l2_normalise([[3, 4, 0], [1, 0, 0], [1, 1, 0]]), centres)
    assert nearest.tolist() == [1, 0, 0]
    assert similarity == pytest.approx([0.8, 1.0, 0.5**0.5])


def found_pairs(vectors: Matrix, threshold: float, **options: int) -> set[tuple[int, int]]:
    return {
        (min(pair), max(pair))
        for piece in near_pairs(vectors, threshold, **options)
        for pair in zip(piece.some.tolist(), piece.others.tolist(), strict=True)
    }


@pytest.mark.parametrize("threshold", [0.6, 0.9, 1.0])
def test_every_near_pair_is_found(threshold: float) -> None:
    vectors = np.vstack([planted(30, 20), planted(30, 1, seed=9), planted(30, 20)[:3]])
    cosines = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    some, others = np.nonzero(np.triu(cosines, 1) >= threshold - 1e-6)
    expected = set(zip(some.tolist(), others.tolist(), strict=True))
    assert expected
    assert found_pairs(vectors, threshold) == expected


def test_equal_rows_reach_a_threshold_of_one() -> None:
    vectors = np.repeat(planted(40, 1), 2, axis=0)
    assert found_pairs(vectors, 1.0) == {(2 * row, 2 * row + 1) for row in range(40)}


def test_cells_find_nearly_every_pair_and_no_other() -> None:
    rng = np.random.default_rng(3)
    alone = l2_normalise(rng.standard_normal((4_000, 64)))
    # Cosines around 0.95.
    twins = l2_normalise(alone[:400] + rng.standard_normal((400, 64)) * 0.32 / 8)
    vectors = np.vstack([alone, twins])
    exact, quick = found_pairs(vectors, 0.9), found_pairs(vectors, 0.9, exact_rows=0)
    assert quick <= exact
    assert len(exact) >= 390
    assert len(quick) >= 0.98 * len(exact)


def test_the_search_for_pairs_says_how_far_it_is() -> None:
    vectors = planted(100, 10)
    for exact_rows in (0, 2_000):
        done = [piece.rows_done for piece in near_pairs(vectors, 0.9, exact_rows=exact_rows)]
        assert done == sorted(done)
        assert done[-1] == 1_000


def test_the_memory_for_pairs_does_not_grow_with_their_number() -> None:
    # All of them near one another: 12 million pairs, 200 MB as a list, 100 MB as a matrix.
    vectors = l2_normalise(np.ones((5_000, 8)) + planted(5_000, 1)[:, :8] * 0.01)
    components = Components(5_000)
    tracemalloc.start()
    count = 0
    for piece in near_pairs(vectors, 0.9):
        components.join(piece.some, piece.others)
        count += len(piece.some)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count >= 5_000 * 4_999 // 2
    assert components.labels().max() == 0
    assert peak < 80_000_000


def test_nothing_has_no_pairs() -> None:
    assert list(near_pairs(np.empty((0, 8), np.float32), 0.9)) == []
    assert found_pairs(planted(1, 1), 0.5) == set()
    assert found_pairs(planted(1, 2), 0.5, exact_rows=0) == {(0, 1)}
