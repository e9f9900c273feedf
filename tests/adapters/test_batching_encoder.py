"""The queue in front of the encoder: who is served when, and who sees which error."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import numpy as np
import pytest

from mirada.adapters.encoders.batching import BatchingEncoder
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind, l2_normalise
from mirada.kernel.errors import EncoderUnavailable, InvalidInput, Unavailable
from mirada.kernel.heap import may_hoard
from mirada.kernel.images import RgbImage
from testing.patience import PATIENCE_S, Stopwatch, wait_until


class Recorder:
    """A two-tower encoder that writes down its batches and can be held at a gate."""

    space = EmbeddingSpace(SpaceKind.IMAGE, "recorder", "none", "none-v1", 4)
    device = "cpu"
    input_side_px = 8
    logit_scale = 20.0
    logit_bias = -1.5

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[object]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def encode_images(self, images: Sequence[RgbImage]) -> Matrix:
        marks = [int(image[0, 0, 0]) for image in images]
        self._record("images", list(marks))
        if 13 in marks:
            raise InvalidInput("13 brings bad luck")
        if 66 in marks:
            raise ZeroDivisionError("a bug")
        return l2_normalise([[mark + 1, 1, 0, 0] for mark in marks])

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        self._record("texts", list(texts))
        if "broken" in texts:
            raise EncoderUnavailable("the device is gone")
        return l2_normalise([[len(text) + 1, 0, 1, 0] for text in texts])

    def _record(self, kind: str, items: list[object]) -> None:
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        self.batches.append((kind, items))


def picture(mark: int) -> RgbImage:
    return np.full((2, 2, 3), mark, dtype=np.uint8)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def batching(recorder: Recorder) -> Iterator[BatchingEncoder]:
    encoder = BatchingEncoder(recorder, max_batch=4, max_waiting=10)
    yield encoder
    recorder.gate.set()
    encoder.close()


def hold(recorder: Recorder, batching: BatchingEncoder, pool: ThreadPoolExecutor) -> None:
    """Occupy the encoder, so that whatever is asked next has to wait."""
    recorder.gate.clear()
    recorder.entered.clear()
    pool.submit(batching.encode_texts, ["occupied"])
    assert recorder.entered.wait(PATIENCE_S)


def until_waiting(batching: BatchingEncoder, count: int) -> None:
    watch = Stopwatch()
    while batching.waiting_count < count:
        assert not watch.is_over(PATIENCE_S)
        time.sleep(0.002)  # a queue tells nobody that it grew; asking is the only way


def test_vectors_come_back_in_the_order_asked(batching: BatchingEncoder) -> None:
    vectors = batching.encode_images([picture(mark) for mark in (5, 1, 9, 2, 7, 3)])
    expected = l2_normalise([[mark + 1, 1, 0, 0] for mark in (5, 1, 9, 2, 7, 3)])
    np.testing.assert_array_equal(vectors, expected)


def test_nothing_asked_gives_an_empty_matrix(batching: BatchingEncoder) -> None:
    assert batching.encode_images([]).shape == (0, 4)
    assert batching.encode_texts([]).shape == (0, 4)


def test_it_shows_the_space_and_calibration_of_what_it_wraps(batching: BatchingEncoder) -> None:
    view = batching.interactive()
    for encoder in (batching, view):
        assert encoder.space == Recorder.space
        assert encoder.device == "cpu"
        assert encoder.input_side_px == 8
        assert (encoder.logit_scale, encoder.logit_bias) == (20.0, -1.5)


def test_callers_who_wait_together_share_a_batch(
    recorder: Recorder, batching: BatchingEncoder
) -> None:
    with ThreadPoolExecutor(8) as pool:
        hold(recorder, batching, pool)
        asked = [pool.submit(batching.encode_images, [picture(mark)]) for mark in range(4)]
        until_waiting(batching, 4)
        recorder.gate.set()
        for mark, answer in enumerate(asked):
            np.testing.assert_array_equal(
                answer.result(PATIENCE_S), l2_normalise([[mark + 1, 1, 0, 0]])
            )
    assert len(recorder.batches) == 2
    assert sorted(recorder.batches[1][1]) == [0, 1, 2, 3]


def test_a_large_call_is_cut_into_batches(recorder: Recorder, batching: BatchingEncoder) -> None:
    batching.encode_images([picture(mark) for mark in range(9)])
    assert [len(items) for _, items in recorder.batches] == [4, 4, 1]


def test_a_query_passes_bulk_work_that_came_first(
    recorder: Recorder, batching: BatchingEncoder
) -> None:
    with ThreadPoolExecutor(8) as pool:
        hold(recorder, batching, pool)
        bulk = pool.submit(batching.encode_images, [picture(mark) for mark in range(8)])
        until_waiting(batching, 8)
        query = pool.submit(batching.interactive().encode_texts, ["a cat"])
        until_waiting(batching, 9)
        recorder.gate.set()
        query.result(PATIENCE_S)
        bulk.result(PATIENCE_S)
    assert recorder.batches[1] == ("texts", ["a cat"])


def test_a_bad_picture_fails_alone(recorder: Recorder, batching: BatchingEncoder) -> None:
    with ThreadPoolExecutor(8) as pool:
        hold(recorder, batching, pool)
        asked = [pool.submit(batching.encode_images, [picture(mark)]) for mark in (1, 13, 2)]
        until_waiting(batching, 3)
        recorder.gate.set()
        np.testing.assert_array_equal(asked[0].result(PATIENCE_S), l2_normalise([[2, 1, 0, 0]]))
        np.testing.assert_array_equal(asked[2].result(PATIENCE_S), l2_normalise([[3, 1, 0, 0]]))
        with pytest.raises(InvalidInput, match="bad luck"):
            asked[1].result(PATIENCE_S)


def test_a_failing_device_reaches_the_caller(batching: BatchingEncoder) -> None:
    with pytest.raises(EncoderUnavailable, match="gone"):
        batching.encode_texts(["broken"])


def test_an_unexpected_error_reaches_the_caller_and_the_thread_lives_on(
    batching: BatchingEncoder,
) -> None:
    with pytest.raises(ZeroDivisionError):
        batching.encode_images([picture(66)])
    assert batching.encode_images([picture(1)]).shape == (1, 4)


def test_a_full_queue_refuses_and_says_when_to_come_back(
    recorder: Recorder, batching: BatchingEncoder
) -> None:
    with ThreadPoolExecutor(8) as pool:
        hold(recorder, batching, pool)
        waiting = pool.submit(batching.encode_images, [picture(mark) for mark in range(8)])
        until_waiting(batching, 8)
        with pytest.raises(Unavailable) as refused:
            batching.encode_images([picture(mark) for mark in range(3)])
        assert refused.value.retry_after_s > 0
        recorder.gate.set()
        assert waiting.result(PATIENCE_S).shape == (8, 4)


def test_bulk_work_that_fills_the_queue_refuses_no_query(
    recorder: Recorder, batching: BatchingEncoder
) -> None:
    """As when a worker in the same process asks 768 texts at once to measure the library."""
    query = batching.interactive()
    with ThreadPoolExecutor(8) as pool:
        hold(recorder, batching, pool)
        bulk = pool.submit(batching.encode_texts, [f"thing {n}" for n in range(30)])
        until_waiting(batching, 30)
        asked = pool.submit(query.encode_texts, ["a cat"] * 10)
        until_waiting(batching, 40)
        for refusing in (query, batching):
            with pytest.raises(Unavailable):
                refusing.encode_texts(["one too many"])
        recorder.gate.set()
        assert asked.result(PATIENCE_S).shape == (10, 4)
        assert bulk.result(PATIENCE_S).shape == (30, 4)
    assert recorder.batches[1] == ("texts", ["a cat"] * 4)


def test_a_call_larger_than_the_queue_gets_in_when_nothing_waits(
    batching: BatchingEncoder,
) -> None:
    assert batching.encode_images([picture(mark) for mark in range(12)]).shape == (12, 4)


def test_a_caller_does_not_wait_for_ever(recorder: Recorder) -> None:
    encoder = BatchingEncoder(recorder, answer_timeout_s=0.05)
    recorder.gate.clear()
    with pytest.raises(Unavailable, match="too busy"):
        encoder.encode_texts(["stuck"])
    recorder.gate.set()
    encoder.close()


def test_closing_refuses_what_waits_and_what_comes(
    recorder: Recorder, batching: BatchingEncoder
) -> None:
    with ThreadPoolExecutor(8) as pool:
        hold(recorder, batching, pool)
        waiting = pool.submit(batching.encode_images, [picture(1)])
        until_waiting(batching, 1)
        closing = pool.submit(batching.close)
        with pytest.raises(Unavailable, match="shutting down"):
            waiting.result(PATIENCE_S)
        recorder.gate.set()
        closing.result(PATIENCE_S)
    batching.close()
    with pytest.raises(Unavailable, match="shutting down"):
        batching.encode_texts(["late"])


def test_closing_an_encoder_that_was_never_used_is_harmless(recorder: Recorder) -> None:
    BatchingEncoder(recorder).close()
    assert recorder.batches == []


def test_what_was_encoded_is_counted(recorder: Recorder) -> None:
    with closing(BatchingEncoder(recorder, max_batch=4)) as encoder:
        encoder.encode_texts([f"text {number}" for number in range(6)])
        with pytest.raises(InvalidInput):
            encoder.encode_images([picture(1), picture(13)])
        done = encoder.counters.read()
    assert (done["texts"].items, done["texts"].failures) == (6, 0)
    assert done["texts"].batches == {4: 1, 2: 1}
    assert done["texts"].seconds > 0
    # Their batch failed, then one of them alone.
    assert (done["images"].items, done["images"].failures) == (1, 1)
    assert done["images"].batches == {1: 1}


class Hoard:
    """Tells which threads have asked it to give memory back."""

    def __init__(self) -> None:
        self.asked_by: list[threading.Thread] = []

    def give_back(self) -> None:
        self.asked_by.append(threading.current_thread())


def test_memory_of_batches_is_given_back_once_when_nobody_asks_any_more(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirada.adapters.encoders.batching.REST_S", 0.05)
    hoard = Hoard()
    may_hoard(hoard)
    with closing(BatchingEncoder(recorder)) as encoder:
        encoder.encode_texts(["one", "two"])
        # Encoders of other tests may rest meanwhile.
        by_ours = partial(hoard.asked_by.count, encoder._thread)
        wait_until(by_ours, what="the memory is given back")
        time.sleep(0.2)  # what does not happen can only be waited for
        assert by_ours() == 1
        encoder.encode_texts(["three"])
        wait_until(lambda: by_ours() == 2, what="the memory is given back again")


def test_an_error_while_memory_is_given_back_does_not_end_the_thread(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody who asked later would wait for two minutes, and be told that the encoder is busy."""
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise RuntimeError("Set changed size during iteration")

    monkeypatch.setattr("mirada.adapters.encoders.batching.REST_S", 0.01)
    monkeypatch.setattr("mirada.adapters.encoders.batching.give_back_now", fail)
    with closing(BatchingEncoder(recorder)) as encoder:
        encoder.encode_texts(["one"])
        assert failed.wait(PATIENCE_S)
        assert encoder.encode_texts(["two"]).shape == (1, 4)
