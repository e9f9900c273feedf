"""How many threads of a process work batches of one kind: few, so that batches are full."""

from __future__ import annotations

import os
import threading
import time

from mirada.jobs.batches import BATCH
from mirada.jobs.pace import Pace

MOST = 4
SLOW_AFTER_S = 1.0
"""A full batch of photographs takes 0.2 s on two cores."""


class Lanes:
    """Places for threads that work batches of one kind. Thread-safe.

    Whoever rings while all are taken leaves a note and goes: a thread in a place looks again before it
    leaves. So no ring is lost, and no thread waits.
    """

    def __init__(self, places: int | None = None) -> None:
        """Offer so many places; by default one a core, from two to MOST.

        Two, because one batch is read from the disk and stored while another is with the encoder.
        """
        self._places = places or max(2, min(MOST, len(os.sched_getaffinity(0))))
        self._taken = 0
        self._was_rung = False
        self._was_full = False
        self._began_at_s = float("-inf")
        self._pace = Pace()
        self._lock = threading.Lock()

    def enter(self) -> bool:
        """Take a place and return True; or leave the note.

        A place beside another thread is given where that one has found a full batch, or has worked on
        one for long. A few pictures in two batches take twice the statements.
        """
        with self._lock:
            is_needed = self._taken == 0 or self._was_full or self._is_slow()
            if self._taken >= self._places or not is_needed:
                self._was_rung = True
                return False
            if self._taken == 0:
                # How much there is will only be known once it has looked.
                self._began_at_s, self._was_full = time.monotonic(), True
            self._taken += 1
            return True

    def began(self, count: int) -> None:
        """Note that a thread in a place begins with so many jobs."""
        self._pace.add(count)
        with self._lock:
            self._began_at_s = time.monotonic()
            self._was_full = count >= BATCH

    def is_rush(self) -> bool:
        """Return whether jobs come so fast that it pays to wait until a batch is full."""
        return self._pace.is_rush()

    def leave_to_others(self) -> bool:
        """Give the place back with a note and return True; False where nobody else would look soon.

        For less than a full batch. Whoever has worked for long does not count: one slow picture holds
        up its batch.
        """
        with self._lock:
            if self._taken < 2 or self._is_slow():
                return False
            self._taken -= 1
            self._was_rung = True
            return True

    def leave_if_nobody_rang(self) -> bool:
        """Give the place back and return True; or take the note, and stay to look again."""
        with self._lock:
            if self._was_rung:
                self._was_rung = False
                return False
            self._taken -= 1
            return True

    def leave(self) -> None:
        """Give the place back."""
        with self._lock:
            self._taken -= 1

    def free(self) -> int:
        """Return the number of places that are free."""
        with self._lock:
            return self._places - self._taken

    def _is_slow(self) -> bool:
        return time.monotonic() - self._began_at_s > SLOW_AFTER_S
