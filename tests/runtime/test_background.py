"""A background loop outlives faults, is woken, and ends when it is told to or is done."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar

import pytest

from mirada.background import NICENESS, Loop, giving_way
from mirada.kernel.errors import LeaseLost, Unavailable
from testing.patience import PATIENCE_S


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_row_of_faults_is_logged_once_and_so_is_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "mirada.background")
    steps: list[int] = []

    def step() -> None:
        steps.append(1)
        if len(steps) <= 3:
            raise Unavailable("down") if len(steps) % 2 else RuntimeError("worse")

    loop = Loop("test", step, 0.005, "Nothing is done")
    loop.start()
    wait_for(lambda: len(steps) > 5)
    assert loop.stop()

    assert caplog.messages == ["Nothing is done: down", "No longer: Nothing is done"]


def test_a_wake_up_during_a_step_is_answered_by_another_step() -> None:
    steps: list[int] = []

    def step() -> None:
        steps.append(1)
        if len(steps) == 1:
            loop.wake()

    loop = Loop("test", step, 60, "")
    loop.start()
    wait_for(lambda: len(steps) == 2)
    loop.wake()
    wait_for(lambda: len(steps) == 3)
    assert loop.stop()
    assert loop.stop()


def test_a_step_that_returns_true_is_the_last() -> None:
    steps: list[int] = []
    loop = Loop("test", lambda: steps.append(1) is None, 0.001, "")
    loop.start()
    wait_for(lambda: steps == [1])
    time.sleep(0.02)

    assert loop.stop()
    assert steps == [1]


def test_stopping_waits_for_the_step_under_way_and_may_run_one_more() -> None:
    has_begun, may_end = threading.Event(), threading.Event()
    ended: list[int] = []

    def step() -> None:
        has_begun.set()
        may_end.wait(PATIENCE_S)
        ended.append(1)

    loop = Loop("test", step, 60, "", once_more=True)
    loop.start()
    assert has_begun.wait(PATIENCE_S)
    assert not loop.stop(timeout_s=0.01)
    may_end.set()

    assert loop.stop()
    assert ended == [1, 1]


def test_a_loop_that_was_never_started_has_ended() -> None:
    assert Loop("test", lambda: None, 1, "").stop()


def test_work_that_gives_way_has_a_low_priority_of_its_own_and_keeps_the_context() -> None:
    variable: ContextVar[str] = ContextVar("variable")
    variable.set("of the caller")
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    seen: list[int] = []

    def work() -> str:
        look = threading.Thread(
            target=lambda: seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        )
        look.start()
        look.join()
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return variable.get()

    assert giving_way(work) == "of the caller"
    assert seen == [max(before, NICENESS)] * 2
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_work_that_gives_way_raises_what_it_raised() -> None:
    def fail() -> None:
        raise LeaseLost("another one has it")

    with pytest.raises(LeaseLost, match="another one"):
        giving_way(fail)


def test_work_is_done_where_no_priority_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    assert giving_way(lambda: 7) == 7
