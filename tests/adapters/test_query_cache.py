"""Queries are remembered: encoded once, whoever asks and however many at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from mirada.adapters.encoders.query_cache import QueryCache, QueryEncoder
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind
from mirada.kernel.errors import EncoderUnavailable
from testing.encoders import CountingEncoder
from testing.patience import PATIENCE_S, Stopwatch
from tests.conftest import MakeRuntime


class Gated(CountingEncoder):
    """Waits at a gate inside every call, and fails when told to."""

    def __init__(self, model: str = "counting") -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.model = model

    @property
    def space(self) -> EmbeddingSpace:
        return EmbeddingSpace(SpaceKind.PROMPT, self.model, "v1", "none", 32)

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        self.calls.append(list(texts))
        self.entered.release()
        assert self.gate.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        return super().encode_texts(texts)


@pytest.fixture
def encoder() -> Gated:
    return Gated()


@pytest.fixture
def memory() -> QueryCache:
    return QueryCache()


def wait_for_waiters(memory: QueryCache, count: int) -> None:
    """Wait until so many lookups of unknown texts have begun."""
    watch = Stopwatch()
    while memory.counts().misses < count:
        assert not watch.is_over(PATIENCE_S)
        time.sleep(0.005)  # another thread does it; asking is the only way


def test_a_query_is_encoded_once_and_gets_the_encoder_s_own_vector(
    encoder: Gated, memory: QueryCache
) -> None:
    query_encoder = QueryEncoder(encoder, memory)
    first = query_encoder.encode_texts(["um gato", "a cat"])
    second = query_encoder.encode_texts(["a cat", "a dog", "a cat"])
    assert encoder.texts == ["um gato", "a cat", "a dog"]
    expected = CountingEncoder().encode_texts(["um gato", "a cat", "a dog"])
    assert np.array_equal(first, expected[:2])
    assert np.array_equal(second, expected[[1, 2, 1]])


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("a  cat\n", " a cat", True),
        ("cafe\u0301", "caf\u00e9", True),
        ("Polish", "polish", False),
    ],
)
def test_queries_that_differ_in_nothing_a_model_should_see_are_the_same(
    encoder: Gated, memory: QueryCache, one: str, other: str, is_same: bool
) -> None:
    query_encoder = QueryEncoder(encoder, memory)
    vectors = [query_encoder.encode_texts([text])[0] for text in (one, other)]
    assert (len(encoder.texts) == 1) == is_same
    assert np.array_equal(*vectors) == is_same


@pytest.mark.parametrize("memory", [QueryCache(), None], ids=["on", "off"])
def test_what_a_query_s_vector_is_does_not_depend_on_the_memory(
    encoder: Gated, memory: QueryCache | None
) -> None:
    found = QueryEncoder(encoder, memory).encode_texts([" a   cat "])
    assert np.array_equal(found, CountingEncoder().encode_texts(["a cat"]))
    assert QueryEncoder(encoder, memory).encode_texts([]).shape == (0, 32)
    assert QueryEncoder(encoder, memory).space == encoder.space


def test_without_a_memory_every_query_is_encoded(encoder: Gated) -> None:
    for _ in range(3):
        QueryEncoder(encoder, None).encode_texts(["a cat"])
    assert encoder.texts == ["a cat"] * 3


def test_many_equal_queries_at_once_cost_one_inference(encoder: Gated, memory: QueryCache) -> None:
    encoder.gate.clear()
    with ThreadPoolExecutor(12) as pool:
        asked = [
            pool.submit(QueryEncoder(encoder, memory).encode_texts, ["a cat"]) for _ in range(12)
        ]
        wait_for_waiters(memory, 12)
        encoder.gate.set()
        vectors = [each.result(PATIENCE_S) for each in asked]
    assert encoder.calls == [["a cat"]]
    assert all(np.array_equal(each, vectors[0]) for each in vectors)


def test_callers_whose_queries_overlap_do_not_wait_for_each_other_for_ever(
    encoder: Gated, memory: QueryCache
) -> None:
    encoder.gate.clear()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(QueryEncoder(encoder, memory).encode_texts, ["a", "b"])
        assert encoder.entered.acquire(timeout=PATIENCE_S)
        second = pool.submit(QueryEncoder(encoder, memory).encode_texts, ["c", "b"])
        assert encoder.entered.acquire(timeout=PATIENCE_S)
        third = pool.submit(QueryEncoder(encoder, memory).encode_texts, ["c", "a"])
        wait_for_waiters(memory, 6)
        encoder.gate.set()
        found = [each.result(PATIENCE_S) for each in (first, second, third)]
    assert encoder.calls == [["a", "b"], ["c"]]
    expected = CountingEncoder().encode_texts(["a", "b", "c"])
    for vectors, rows in zip(found, ([0, 1], [2, 1], [2, 0]), strict=True):
        assert np.array_equal(vectors, expected[rows])


def test_an_encoder_that_fails_fails_everybody_who_waited_and_nobody_after(
    encoder: Gated, memory: QueryCache
) -> None:
    encoder.gate.clear()
    encoder.error = EncoderUnavailable("the device is gone")
    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(QueryEncoder(encoder, memory).encode_texts, ["a cat"]) for _ in range(4)
        ]
        wait_for_waiters(memory, 4)
        encoder.gate.set()
        for each in asked:
            with pytest.raises(EncoderUnavailable):
                each.result(PATIENCE_S)
    encoder.error = None
    assert len(encoder.calls) == 1
    assert QueryEncoder(encoder, memory).encode_texts(["a cat"]).shape == (1, 32)
    assert len(encoder.calls) == 2


def test_what_a_caller_does_to_its_vectors_changes_nobody_else_s(
    encoder: Gated, memory: QueryCache
) -> None:
    query_encoder = QueryEncoder(encoder, memory)
    query_encoder.encode_texts(["a cat"])[:] = 0
    assert np.linalg.norm(query_encoder.encode_texts(["a cat"])) == pytest.approx(1)


def test_one_query_of_a_batch_does_not_keep_the_batch_in_memory(
    encoder: Gated, memory: QueryCache
) -> None:
    vectors = memory.vectors_of(["a", "b", "c"], encoder)
    assert all(vector.base is None for vector in vectors.values())


def test_each_space_has_a_memory_of_its_own(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime()
    pictures, prompts = CountingEncoder(), Gated()
    for encoder in (pictures, prompts, pictures, prompts):
        runtime.remembering(encoder).encode_texts(["a cat"])
    assert pictures.texts == prompts.texts == ["a cat"]


def test_a_switched_off_memory_is_off_for_every_space(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime(enable_embedding_cache=False)
    encoders: list[Any] = [CountingEncoder(), Gated()]
    for encoder in encoders * 2:
        runtime.remembering(encoder).encode_texts(["a cat"])
    assert [encoder.texts for encoder in encoders] == [["a cat"] * 2] * 2
