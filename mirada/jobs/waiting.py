"""Jobs that wait for something else than their time: a free slot, or money.

Slots are for slow work: some threads of a process work at one kind of job, and the rest stay free.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from mirada.db.models import Job, JobState
from mirada.db.session import count_changed, now_ms
from mirada.kernel.errors import Deferred, MiradaError
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

RACES = 5
"""The most times that another caller may wake the very job that was found, before none is woken."""
BUDGETS = "_DAILY_BUDGET_USD"
"""Stands in the error of every job that waits for money."""
ANOTHER_MODEL = "another model and restart"
"""Stands in the error of every job that waits for another model; `failures.model_unusable` says it."""
NO_FREE_SLOT = "It waits for its turn: others of its kind are being worked on."
"""Stands in the rows of jobs that wait, and is how they are found: it must not change."""
REST_S = 120, 600
"""An attempt that ends wakes the next waiting job. Only when a process died before it did, jobs come
by themselves, after so long, and not all together."""


def wake_next(session: Session, kind: str, reason: str) -> int | None:
    """Make the job due that has waited longest for a reason, and return its id; None for none.

    Each call wakes another one, however many are made at once. Ring after the commit.
    """
    for _ in range(RACES):
        waiting = session.execute(
            select(Job.id, Job.next_run_at_ms)
            .where(_is_waiting(), Job.kind == kind, Job.last_error == reason)
            .order_by(Job.next_run_at_ms, Job.id)
            .limit(1)
        ).first()
        if waiting is None:
            return None
        if _wake(session, Job.id == waiting.id, Job.next_run_at_ms == waiting.next_run_at_ms):
            return int(waiting.id)
    return None


def wake_held_back(session: Session) -> int:
    """Make jobs due that wait for another day's budget or another model; return how many they are.

    Both are settings, which may be others by now. Where they are not the jobs wait again, and none
    loses an attempt.
    """
    reasons = (
        Job.last_error.contains(words, autoescape=True) for words in (BUDGETS, ANOTHER_MODEL)
    )
    return _wake(session, or_(*reasons))


def wake_at_start(runtime: Runtime) -> None:
    """Wake the jobs that wait for a setting, in a transaction of their own. Raises Unavailable."""
    with runtime.transaction() as session:
        count = wake_held_back(session)
    if count:
        logger.info("%s jobs that wait for money or for another model are looked at again", count)


def _is_waiting() -> ColumnElement[bool]:
    return (Job.state == JobState.QUEUED) & (Job.next_run_at_ms > now_ms())


def _wake(session: Session, *conditions: ColumnElement[bool]) -> int:
    woken = update(Job).where(_is_waiting(), *conditions)
    return count_changed(session, woken.values(next_run_at_ms=now_ms(), rung_at_ms=None))


class NoFreeSlot(Deferred):
    """Every slot is taken; nothing failed."""

    def __init__(self) -> None:
        """Say that the job waits, and nothing about who has the slots."""
        super().__init__(NO_FREE_SLOT, retry_after_s=random.randint(*REST_S))  # noqa: S311 - spreads load


class Slots:
    """The slots of a process for one kind of job; `free` of them nobody has. Thread-safe."""

    def __init__(self, count: int) -> None:
        """Offer `count`, >= 1."""
        self._lock = threading.Lock()
        self.free = count

    def take(self) -> bool:
        """Take one and return whether there was one."""
        with self._lock:
            if self.free == 0:
                return False
            self.free -= 1
            return True

    def give_back(self) -> None:
        """Give one back."""
        with self._lock:
            self.free += 1


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
    count = max(1, runtime.settings.worker_threads // threads_each)
    slots = runtime.remembered(f"slots:{kind}", lambda: Slots(count))
    slot = Slot(slots)
    wakes = True
    try:
        yield slot
    except NoFreeSlot:
        wakes = False
        raise
    finally:
        slot.give_back()
        if wakes:
            _wake_for_slots(runtime, kind, slots.free)


def _wake_for_slots(runtime: Runtime, kind: str, count: int) -> None:
    for _ in range(count):
        try:
            with runtime.transaction() as session:
                job_id = wake_next(session, kind, NO_FREE_SLOT)
        except MiradaError as error:
            logger.warning("No waiting job was woken, they come by themselves: %s", error)
            return
        if job_id is None:
            return
        runtime.doorbell.ring(job_id, kind)
