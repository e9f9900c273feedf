"""Few are at it at once, whoever came first goes first, and who cannot have a place hears of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mirada.kernel.errors import Unavailable
from mirada.kernel.turns import Turns
from testing.patience import wait_until

BUSY = "Too many."


@contextmanager
def waiting(turns: Turns, names: list[str], order: list[str]) -> Iterator[None]:
    """Let others wait in a known order while the block runs; each notes its name when it has its turn."""

    def take(name: str) -> None:
        with turns.taken():
            order.append(name)

    threads = []
    for name in names:
        threads.append(threading.Thread(target=take, args=(name,)))
        threads[-1].start()
        wait_until(lambda: turns.waiting_count == len(threads), what=f"{name} to wait")
    yield
    for thread in threads:
        thread.join()


def test_whoever_came_first_goes_first() -> None:
    turns, order = Turns(1, 8, 30.0, BUSY), list[str]()
    names = [str(number) for number in range(8)]
    held = turns.taken()
    held.__enter__()
    with waiting(turns, names, order):
        assert order == []
        held.__exit__(None, None, None)
    assert order == names


def test_no_more_are_at_it_than_there_are_places() -> None:
    turns, lock = Turns(2, 30, 30.0, BUSY), threading.Lock()
    inside, most = 0, 0

    def take() -> None:
        nonlocal inside, most
        for _ in range(50):
            with turns.taken():
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most <= 2
    with turns.taken(), turns.taken():
        pass


def test_where_too_many_wait_the_next_is_refused_at_once() -> None:
    turns = Turns(1, 1, 30.0, BUSY)
    held = turns.taken()
    held.__enter__()
    with waiting(turns, ["second"], []):
        with pytest.raises(Unavailable, match=BUSY) as refused, turns.taken():
            pass
        assert refused.value.retry_after_s >= 1
        held.__exit__(None, None, None)


def test_who_waits_too_long_is_refused_and_leaves_the_queue() -> None:
    turns = Turns(1, 1, 0.01, BUSY)
    with turns.taken():
        with pytest.raises(Unavailable, match=BUSY), turns.taken():
            pass
        assert turns.waiting_count == 0
    with turns.taken():
        pass


def test_a_block_that_fails_gives_its_place_on() -> None:
    turns = Turns(1, 0, 0.01, BUSY)
    with pytest.raises(ZeroDivisionError), turns.taken():
        raise ZeroDivisionError
    with turns.taken():
        pass
