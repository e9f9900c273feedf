"""A server that fails is left alone, tried again one question at a time, and trusted when it answers."""

from __future__ import annotations

import threading

import pytest

from mirada.kernel.circuit import MAX_REST_S, PROBE_S, CircuitBreaker
from mirada.kernel.errors import CircuitOpen


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock=clock)


def fail(breaker: CircuitBreaker, times: int, reason: str = "500") -> None:
    for _ in range(times):
        breaker.admit()
        breaker.failed(reason)


def waits_s(breaker: CircuitBreaker) -> int:
    """Return for how long a question is refused; 0 when it is let through."""
    try:
        breaker.check()
    except CircuitOpen as error:
        return error.retry_after_s
    return 0


def test_five_failures_in_a_row_open_it(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)
    assert waits_s(breaker) == 0
    fail(breaker, 1, "It answered 500.")

    with pytest.raises(CircuitOpen, match=r"60 s\. It answered 500\."):
        breaker.admit()
    assert waits_s(breaker) == 60
    assert breaker.status().is_open
    assert breaker.status().reason == "It answered 500."


def test_an_answer_in_between_begins_the_row_anew(breaker: CircuitBreaker) -> None:
    for _ in range(3):
        fail(breaker, 4)
        breaker.admit()
        breaker.answered()
    assert waits_s(breaker) == 0


def test_after_the_pause_one_question_is_let_through(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 59.5
    assert waits_s(breaker) == 1
    clock.now += 0.5

    breaker.admit()

    assert waits_s(breaker) == PROBE_S
    with pytest.raises(CircuitOpen):
        breaker.admit()
    breaker.answered()
    assert waits_s(breaker) == 0
    assert not breaker.status().is_open
    fail(breaker, 4)
    assert waits_s(breaker) == 0


def test_each_failed_probe_doubles_the_pause_up_to_a_limit(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker, 5)
    pauses = []
    for _ in range(6):
        pauses.append(waits_s(breaker))
        clock.now += pauses[-1]
        fail(breaker, 1)
    assert pauses == [60, 120, 240, 480, 600, 600]

    clock.now += 600
    breaker.admit()
    breaker.answered()
    fail(breaker, 5)
    assert waits_s(breaker) == 60, "it begins again with the first pause"


def test_failures_of_questions_from_before_it_opened_prolong_nothing(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    for _ in range(8):
        breaker.admit()
    for _ in range(8):
        breaker.failed("500")
    assert waits_s(breaker) == 60


def test_a_probe_that_never_ends_is_followed_by_another(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker, 5)
    clock.now += 60
    breaker.admit()
    clock.now += PROBE_S
    breaker.admit()


def test_a_probe_that_was_never_sent_leaves_room_for_the_next(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker, 5)
    clock.now += 60
    breaker.admit()
    breaker.undecided()
    breaker.admit()


def test_one_refused_key_is_enough(breaker: CircuitBreaker) -> None:
    breaker.admit()
    breaker.refused("It refuses OPENAI_API_KEY (401).")
    assert waits_s(breaker) == 60
    assert breaker.status().reason == "It refuses OPENAI_API_KEY (401)."


def test_being_told_to_wait_is_no_failure(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)
    for _ in range(4):
        breaker.admit()
        breaker.told_to_wait("429", 1)
    assert waits_s(breaker) == 0
    fail(breaker, 1)
    assert waits_s(breaker) == 60, "nor does it end a row of failures"


def test_being_told_to_wait_five_times_in_a_row_is_obeyed(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    for _ in range(5):
        breaker.admit()
        breaker.told_to_wait("429", 17)
    assert waits_s(breaker) == 17
    clock.now += 17
    breaker.admit()
    breaker.told_to_wait("429", 86_400)
    assert waits_s(breaker) == MAX_REST_S


def test_of_many_threads_one_gets_the_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 60
    barrier, admitted = threading.Barrier(16), []

    def ask() -> None:
        barrier.wait()
        try:
            breaker.admit()
        except CircuitOpen:
            return
        admitted.append(1)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 1
