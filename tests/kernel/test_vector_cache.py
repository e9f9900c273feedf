"""What a process remembers of vectors: never more than it may, and the popular ones longest."""

from __future__ import annotations

import sys
import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mirada.kernel.embeddings import Vector
from mirada.kernel.vector_cache import VectorCache

DIMENSION = 8


def vector(number: int) -> Vector:
    return np.full(DIMENSION, number, np.float32)


def fill(cache: VectorCache[str], *keys: str) -> None:
    for key in keys:
        cache.put({key: vector(len(key))})


def held(cache: VectorCache[str], *keys: str) -> set[str]:
    """Which of these are here. Asking counts, so ask last."""
    return set(cache.get(keys))


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache: VectorCache[str] = VectorCache(2)
    fill(cache, "a", "b")
    assert held(cache, "a") == {"a"}
    fill(cache, "c")
    assert held(cache, "a", "b", "c") == {"a", "c"}


def test_a_flood_of_queries_that_come_once_lets_go_of_no_popular_one() -> None:
    cache: VectorCache[str] = VectorCache(10)
    fill(cache, "popular", "liked")
    cache.get(["popular", "liked"])
    fill(cache, *(f"once {number}" for number in range(1_000)))
    assert held(cache, "popular", "liked") == {"popular", "liked"}
    assert cache.counts().entries == 10


def test_what_is_popular_no_more_makes_room_for_what_is_now() -> None:
    cache: VectorCache[str] = VectorCache(10)
    last_year = [f"old {number}" for number in range(8)]
    fill(cache, *last_year)
    cache.get(last_year)
    for number in range(8):
        fill(cache, f"new {number}")
        cache.get([f"new {number}"])
    fill(cache, *(f"once {number}" for number in range(10)))
    assert held(cache, *last_year) == set()
    assert len(held(cache, *(f"new {number}" for number in range(8)))) == 8


def test_bytes_are_bounded_as_well_and_the_popular_stay_then_too() -> None:
    size = sys.getsizeof("0000") + 4 * DIMENSION
    cache: VectorCache[str] = VectorCache(1_000, max_bytes=10 * size)
    fill(cache, "0000", "0001")
    cache.get(["0000"])
    fill(cache, *(f"{number:04}" for number in range(2, 50)))
    counts = cache.counts()
    assert (counts.entries, counts.bytes) == (10, 10 * size)
    assert held(cache, "0000", "0001", "0049") == {"0000", "0049"}


def test_popular_vectors_never_take_all_the_room() -> None:
    size = sys.getsizeof("0000") + 4 * DIMENSION
    cache: VectorCache[str] = VectorCache(1_000, max_bytes=10 * size)
    for number in range(20):
        fill(cache, f"{number:04}")
        cache.get([f"{number:04}"])
    fill(cache, "0098", "0099")
    assert held(cache, "0098", "0099") == {"0098", "0099"}


def test_a_vector_put_again_takes_the_place_of_the_former() -> None:
    cache: VectorCache[str] = VectorCache(2)
    for number in (1, 2):
        cache.put({"a": vector(number)})
    before = cache.counts().bytes
    assert cache.get(["a"])["a"][0] == 2
    cache.put({"a": vector(3)})
    assert cache.get(["a"])["a"][0] == 3
    assert cache.counts().bytes == before == sys.getsizeof("a") + 4 * DIMENSION


def test_hits_misses_and_evictions_are_counted() -> None:
    cache: VectorCache[str] = VectorCache(2)
    assert cache.get(["a", "b"]) == {}
    fill(cache, "a", "b", "c")
    cache.get(["a", "c"])
    counts = cache.counts()
    assert (counts.hits, counts.misses, counts.evictions, counts.entries) == (1, 3, 1, 2)


Steps = st.lists(st.tuples(st.booleans(), st.text("abcdef", min_size=1, max_size=3)), max_size=200)


@given(steps=Steps, max_entries=st.integers(2, 8), max_vectors=st.integers(1, 8))
def test_whatever_is_asked_and_put_the_bounds_hold(
    steps: list[tuple[bool, str]], max_entries: int, max_vectors: int
) -> None:
    max_bytes = max_vectors * (sys.getsizeof("abc") + 4 * DIMENSION)
    cache: VectorCache[str] = VectorCache(max_entries, max_bytes)
    put: dict[str, int] = {}
    for number, (is_put, key) in enumerate(steps):
        if is_put:
            cache.put({key: vector(number)})
            put[key] = number
        for found, value in cache.get([key]).items():
            assert value[0] == put[found]
        counts = cache.counts()
        assert counts.entries <= max_entries
        assert counts.bytes <= max_bytes
    held_now = cache.get(list(put))
    assert cache.counts().entries == len(held_now)
    assert cache.counts().bytes == sum(sys.getsizeof(key) + 4 * DIMENSION for key in held_now)


def test_threads_may_ask_and_put_at_once() -> None:
    cache: VectorCache[int] = VectorCache(50)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for key in rng.integers(0, 200, 3_000).tolist():
                for found, value in cache.get([key]).items():
                    assert value[0] == found
                cache.put({key: vector(key)})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = cache.counts()
    assert failures == []
    assert (counts.entries, counts.hits + counts.misses) == (50, 6 * 3_000)
