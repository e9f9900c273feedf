"""Threads in the background: a loop that does one thing again and again, and work that gives way."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from typing import TypeVar

from mirada.kernel.errors import MiradaError

logger = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 10.0
NICENESS = 10
"""What Linux calls nice: beside a thread of 0 it gets a tenth of a core."""
Result = TypeVar("Result")


class Loop:
    """Runs a step, waits, and runs it again. It outlives every fault, and logs a row of faults once."""

    def __init__(
        self,
        name: str,
        step: Callable[[], object],
        every_s: float,
        trouble: str,
        *,
        retry_s: float | None = None,
        waits_first: bool = False,
        once_more: bool = False,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            name: of the thread.
            step: what is done; returning True ends the loop.
            every_s: how long the loop waits between two steps, unless it is woken.
            trouble: the words that a failed step is logged with.
            retry_s: how long it waits after a failed step, woken or not; `every_s` by default.
            waits_first: whether it waits before the first step too.
            once_more: whether a last step is run when the loop is stopped.
        """
        self._name = name
        self._step = step
        self._every_s = every_s
        self._trouble = trouble
        self._retry_s = every_s if retry_s is None else retry_s
        self._waits_first = waits_first
        self._once_more = once_more
        self._stopped = threading.Event()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_in_trouble = False

    def start(self) -> None:
        """Begin; harmless to repeat from one thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Have the next step run at once, or again right after the one under way."""
        self._woken.set()

    def is_stopping(self) -> bool:
        """Return whether the loop was told to stop."""
        return self._stopped.is_set()

    def stop(self, timeout_s: float = JOIN_TIMEOUT_S) -> bool:
        """End after the step under way, and return whether the thread has ended; harmless to repeat."""
        self._stopped.set()
        self._woken.set()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return thread is None
        thread.join(timeout_s)
        return not thread.is_alive()

    def _run(self) -> None:
        if self._waits_first:
            self._stopped.wait(self._every_s)
        while not self._stopped.is_set() and not self._is_over_after_step():
            if self._is_in_trouble:
                self._stopped.wait(self._retry_s)
            else:
                self._woken.wait(self._every_s)
            # After the wait: a wake-up during a step is answered by another step.
            self._woken.clear()
        if self._once_more:
            self._is_over_after_step()

    def _is_over_after_step(self) -> bool:
        try:
            is_over = self._step() is True
        except Exception as error:
            # The edge of a thread: if it ended here, nobody would do this any more.
            if not self._is_in_trouble:
                self._log(error)
            self._is_in_trouble = True
            return False
        if self._is_in_trouble:
            logger.info("No longer: %s", self._trouble)
        self._is_in_trouble = False
        return is_over

    def _log(self, error: Exception) -> None:
        if isinstance(error, (MiradaError, OSError)):
            logger.warning("%s: %s", self._trouble, error)
        else:
            logger.error("%s", self._trouble, exc_info=error)


def giving_way(work: Callable[[], Result]) -> Result:
    """Return the result of work that takes a processor from nobody who wants it; raises what it raises.

    It is done by a thread of its own, with the context of this one, which waits. Threads that the work
    starts give way as well. A thread cannot take its priority back, so it ends with the work.
    """
    done: Future[Result] = Future()
    context = copy_context()

    def run() -> None:
        # Only Linux has priorities of threads. Without one the work is done all the same.
        with suppress(AttributeError, OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            done.set_result(context.run(work))
        except BaseException as error:  # The edge of a thread: it is raised where it is waited for.
            done.set_exception(error)

    thread = threading.Thread(target=run, name="giving-way", daemon=True)
    thread.start()
    thread.join()
    return done.result()
