"""What an encoder counts of itself."""

from __future__ import annotations

import threading

from mirada.kernel.encoder_counters import EncoderCounters, EncoderCounts


def test_calls_are_counted_by_kind_and_size() -> None:
    counters = EncoderCounters()
    assert counters.read() == {}
    for items in (1, 4, 1):
        counters.add("texts", items, 0.5)
    counters.add_failure("texts")
    counters.add_failure("images")
    assert counters.read() == {
        "texts": EncoderCounts(items=6, failures=1, seconds=1.5, batches={1: 2, 4: 1}),
        "images": EncoderCounts(failures=1),
    }


def test_what_was_read_does_not_change_afterwards() -> None:
    counters = EncoderCounters()
    counters.add("texts", 2, 1.0)
    before = counters.read()
    counters.add("texts", 2, 1.0)
    assert before["texts"].batches == {2: 1}


def test_threads_count_together() -> None:
    counters = EncoderCounters()

    def work() -> None:
        for _ in range(500):
            counters.add("texts", 2, 0.0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.read()["texts"] == EncoderCounts(8_000, 0, 0.0, {2: 4_000})
