"""Turns at somebody who may take long: some threads of a process wait for them, and never all."""

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


class Turns:
    """A process's turns at one kind of work. Thread-safe."""

    def __init__(self, count: int) -> None:
        """Offer `count`, >= 1."""
        self._lock = threading.Lock()
        self._free = count

    @property
    def free(self) -> int:
        """How many nobody holds."""
        return self._free

    def take(self) -> bool:
        """Hold one and return whether there was one."""
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    def give_back(self) -> None:
        """Hold one less."""
        with self._lock:
            self._free += 1


class Turn:
    """What one attempt may hold. Used by one thread."""

    def __init__(self, turns: Turns) -> None:
        """Hold nothing yet."""
        self._turns = turns
        self._is_held = False

    def take(self) -> None:
        """Hold a turn from now on; harmless to repeat. Raises OutOfTurn at once when there is none."""
        if self._is_held:
            return
        if not self._turns.take():
            raise OutOfTurn
        self._is_held = True

    def give_back(self) -> None:
        """Hold nothing."""
        if self._is_held:
            self._is_held = False
            self._turns.give_back()


@contextmanager
def turn_of(runtime: Runtime, kind: str, threads_each: int) -> Iterator[Turn]:
    """Let the block take one of this process's turns at a kind of work: one for so many threads.

    Whatever the block comes to, as many that wait are called as there are free turns: it may have
    been called itself and have needed none. Only one that goes back to waiting calls nobody, or two
    that wait for the same answer would call each other until it is there.
    """

    def offer() -> Turns:
        return Turns(max(1, runtime.settings.worker_threads // threads_each))

    turns = runtime.remembered(f"turns:{kind}", offer)
    turn = Turn(turns)
    try:
        yield turn
    except OutOfTurn:
        turn.give_back()
        raise
    except BaseException:
        turn.give_back()
        _call_next(runtime, kind, turns.free)
        raise
    turn.give_back()
    _call_next(runtime, kind, turns.free)


def _call_next(runtime: Runtime, kind: str, count: int) -> None:
    for _ in range(count):
        try:
            with runtime.transaction() as session:
                job_id = waiting.wake_next(session, kind, OUT_OF_TURN)
        except MiradaError as error:
            logger.warning(
                "Nobody was called for the next turn, they come by themselves: %s", error
            )
            return
        if job_id is None:
            return
        runtime.doorbell.ring(job_id, kind)
