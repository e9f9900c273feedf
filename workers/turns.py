"""Turns at somebody who may take long: some threads of a process wait for them, and never all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mirada.domain.errors import Deferred

LONGEST_REST_S = 600.0
FIRST_GUESS_S = 2.0
"""What a turn takes, before any was seen."""
NEWEST_COUNTS = 0.2
"""How much of the mean the last turn is."""


class OutOfTurn(Deferred):
    """Every turn is taken; nothing failed."""

    code = "out_of_turn"

    def __init__(self, *, retry_after_s: int) -> None:
        """Say when to come back, and not a word about who has the turn."""
        super().__init__(
            "It waits for its turn: others are being worked on.", retry_after_s=retry_after_s
        )


class Turns:
    """So many at once. Who finds none is told when it will be theirs, one after the other. Thread-safe.

    Without that, thousands of waiting jobs would be claimed and put back all the time.
    """

    def __init__(self, count: int) -> None:
        """Offer `count` turns at once, >= 1."""
        self._count = count
        self._free = threading.BoundedSemaphore(count)
        self._lock = threading.Lock()
        self._mean_s = FIRST_GUESS_S
        self._next_at = 0.0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a turn while the block runs. Raises OutOfTurn, with the time to come back, at once."""
        if not self._free.acquire(blocking=False):
            raise OutOfTurn(retry_after_s=self._rest_s())
        began = time.monotonic()
        try:
            yield
        finally:
            self._free.release()
            with self._lock:
                self._mean_s += NEWEST_COUNTS * (time.monotonic() - began - self._mean_s)

    def _rest_s(self) -> int:
        now = time.monotonic()
        with self._lock:
            latest = now + LONGEST_REST_S
            self._next_at = min(max(now, self._next_at) + self._mean_s / self._count, latest)
            return int(self._next_at - now)
