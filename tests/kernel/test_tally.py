"""What an encoder counts of itself."""

from __future__ import annotations

import threading

from mirada.kernel.tally import Encoded, Tally


def test_calls_are_counted_by_kind_and_size() -> None:
    tally = Tally()
    assert tally.read() == {}
    for items in (1, 4, 1):
        tally.add("texts", items, 0.5)
    tally.add_failure("texts")
    tally.add_failure("images")
    assert tally.read() == {
        "texts": Encoded(items=6, failures=1, seconds=1.5, batches={1: 2, 4: 1}),
        "images": Encoded(failures=1),
    }


def test_what_was_read_does_not_change_afterwards() -> None:
    tally = Tally()
    tally.add("texts", 2, 1.0)
    before = tally.read()
    tally.add("texts", 2, 1.0)
    assert before["texts"].batches == {2: 1}


def test_threads_count_together() -> None:
    tally = Tally()

    def work() -> None:
        for _ in range(500):
            tally.add("texts", 2, 0.0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tally.read()["texts"] == Encoded(8_000, 0, 0.0, {2: 4_000})
