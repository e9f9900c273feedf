"""Turns at somebody who may take long: some threads of a process wait for them, and never all."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mirada.bootstrap import Runtime
from mirada.domain.errors import Deferred, MiradaError
from mirada.usecases import waiting
from workers import doorbell

logger = logging.getLogger(__name__)

OUT_OF_TURN = "It waits for its turn: others of its kind are being worked on."
REST_S = 120, 600
"""Whoever has had a turn wakes the next that waits. Only when a process died with that duty do they
come by themselves, after so long, and not all together."""


class OutOfTurn(Deferred):
    """Every turn is taken; nothing failed."""

    code = "out_of_turn"

    def __init__(self) -> None:
        """Say that it waits, and not a word about who has the turn."""
        super().__init__(OUT_OF_TURN, retry_after_s=random.randint(*REST_S))  # noqa: S311 - spreads load


class Turn:
    """What one attempt may hold. Used by one thread."""

    def __init__(self, free: threading.BoundedSemaphore) -> None:
        """Hold nothing yet."""
        self._free = free
        self._is_held = False

    def take(self) -> None:
        """Hold a turn from now on; harmless to repeat. Raises OutOfTurn at once when there is none."""
        if self._is_held:
            return
        if not self._free.acquire(blocking=False):
            raise OutOfTurn
        self._is_held = True

    def give_back(self) -> bool:
        """Hold nothing, and return whether something was held."""
        was_held, self._is_held = self._is_held, False
        if was_held:
            self._free.release()
        return was_held


@contextmanager
def turn_of(runtime: Runtime, kind: str, threads_each: int) -> Iterator[Turn]:
    """Let the block take one of this process's turns at a kind of work: one for so many threads."""

    def offer() -> threading.BoundedSemaphore:
        return threading.BoundedSemaphore(max(1, runtime.settings.worker_threads // threads_each))

    turn = Turn(runtime.shared(f"turns:{kind}", offer))
    try:
        yield turn
    finally:
        if turn.give_back():
            _call_next(runtime, kind)


def _call_next(runtime: Runtime, kind: str) -> None:
    try:
        with runtime.transaction() as session:
            job_id = waiting.wake_next(session, kind, OUT_OF_TURN)
    except MiradaError as error:
        logger.warning("Nobody was called for the next turn, they come by themselves: %s", error)
        return
    if job_id is not None:
        doorbell.ring(runtime, job_id, kind)
