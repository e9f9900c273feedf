"""How many threads of a process work batches of one kind: few, so that batches are full."""

from __future__ import annotations

import os
import threading

MOST = 4


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
        self._lock = threading.Lock()

    def enter(self) -> bool:
        """Take a place and return True; or leave the note."""
        with self._lock:
            if self._taken >= self._places:
                self._was_rung = True
                return False
            self._taken += 1
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
