"""Slots for slow work: only some threads of a process work at one kind of job; the rest stay free."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mirada.jobs import waiting
from mirada.kernel.errors import Deferred, MiradaError
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

NO_FREE_SLOT = "It waits for its turn: others of its kind are being worked on."
"""Stands in the rows of jobs that wait, and is how they are found: it must not change."""
REST_S = 120, 600
"""An attempt that ends wakes the next waiting job. Only when a process died before it did, jobs come
by themselves, after so long, and not all together."""


class NoFreeSlot(Deferred):
    """Every slot is taken; nothing failed."""

    code = "out_of_turn"

    def __init__(self) -> None:
        """Say that the job waits, and nothing about who has the slots."""
        super().__init__(NO_FREE_SLOT, retry_after_s=random.randint(*REST_S))  # noqa: S311 - spreads load


class Slots:
    """The slots of a process for one kind of job. Thread-safe."""

    def __init__(self, count: int) -> None:
        """Offer `count`, >= 1."""
        self._lock = threading.Lock()
        self._free = count

    @property
    def free(self) -> int:
        """The number of slots that nobody has."""
        return self._free

    def take(self) -> bool:
        """Take one and return whether there was one."""
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    def give_back(self) -> None:
        """Give one back."""
        with self._lock:
            self._free += 1


class Slot:
    """The slot that one attempt may take. Used by one thread."""

    def __init__(self, slots: Slots) -> None:
        """Take nothing yet."""
        self._slots = slots
        self._is_taken = False

    def take(self) -> None:
        """Take a slot; harmless to repeat. Raises NoFreeSlot at once when there is none."""
        if self._is_taken:
            return
        if not self._slots.take():
            raise NoFreeSlot
        self._is_taken = True

    def give_back(self) -> None:
        """Give back the slot that was taken, if one was."""
        if self._is_taken:
            self._is_taken = False
            self._slots.give_back()


@contextmanager
def slot_of(runtime: Runtime, kind: str, threads_each: int) -> Iterator[Slot]:
    """Let the block take a slot for a kind of job; a process has one slot for `threads_each` threads.

    However the block ends, as many waiting jobs are woken as slots are free: this job may have been
    woken itself and have needed none. Only a job that goes back to waiting wakes nobody, or two that
    wait for the same answer would wake each other until it is there.
    """

    def build() -> Slots:
        return Slots(max(1, runtime.settings.worker_threads // threads_each))

    slots = runtime.remembered(f"slots:{kind}", build)
    slot = Slot(slots)
    try:
        yield slot
    except NoFreeSlot:
        slot.give_back()
        raise
    except BaseException:
        slot.give_back()
        _wake_next(runtime, kind, slots.free)
        raise
    slot.give_back()
    _wake_next(runtime, kind, slots.free)


def _wake_next(runtime: Runtime, kind: str, count: int) -> None:
    for _ in range(count):
        try:
            with runtime.transaction() as session:
                job_id = waiting.wake_next(session, kind, NO_FREE_SLOT)
        except MiradaError as error:
            logger.warning("No waiting job was woken, they come by themselves: %s", error)
            return
        if job_id is None:
            return
        runtime.doorbell.ring(job_id, kind)
