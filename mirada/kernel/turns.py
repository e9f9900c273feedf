"""Turns at something that few may do at once: whoever came first goes first, and nobody waits for ever."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from mirada.kernel.errors import Unavailable

RETRY_AFTER_S = 5


class Turns:
    """A queue in front of some places. Thread-safe."""

    def __init__(self, places: int, most_waiting: int, within_s: float, busy: str) -> None:
        """Begin with every place free.

        Args:
            places: how many may be at it at once, >= 1.
            most_waiting: how many may wait beyond those, >= 0.
            within_s: longest wait in seconds.
            busy: the sentence for whoever is refused.
        """
        self._free = places
        self._most_waiting = most_waiting
        self._within_s = within_s
        self._busy = busy
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()

    @property
    def waiting_count(self) -> int:
        """How many wait now."""
        with self._lock:
            return len(self._waiting)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have a place while the block runs.

        Raises:
            Unavailable: too many wait already, or the place did not come in time.
        """
        mine = self._place_or_ticket()
        if mine is not None:
            self._await(mine)
        try:
            yield
        finally:
            self._give_on()

    def _place_or_ticket(self) -> threading.Event | None:
        """Take a free place and return None, or return what is set when there is one."""
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            if len(self._waiting) >= self._most_waiting:
                raise Unavailable(self._busy, retry_after_s=RETRY_AFTER_S)
            ticket = threading.Event()
            self._waiting.append(ticket)
            return ticket

    def _await(self, ticket: threading.Event) -> None:
        if ticket.wait(self._within_s):
            return
        with self._lock:
            if not ticket.is_set():
                self._waiting.remove(ticket)
                raise Unavailable(self._busy, retry_after_s=RETRY_AFTER_S)

    def _give_on(self) -> None:
        with self._lock:
            if self._waiting:
                # The place goes to who came first, and not to who comes this moment.
                self._waiting.popleft().set()
            else:
                self._free += 1
