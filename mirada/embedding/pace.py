"""How many pictures a process has embedded lately, by which a rush is told."""

from __future__ import annotations

import threading
import time
from collections import deque

from mirada.jobs.batches import BATCH

WITHIN_S = 1.0
MANY = 2 * BATCH
"""Pictures within WITHIN_S that are a rush: two cores that make their thumbnails as well come to 60."""


class Pace:
    """Counts the pictures of the last second. Thread-safe."""

    def __init__(self) -> None:
        """Begin with none."""
        self._begun: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()

    def is_rush(self, count: int) -> bool:
        """Count pictures that are begun now, and return whether they are part of a rush.

        A full batch is one, because others wait behind it; and so are many small ones that follow one
        another, such as the uploads of a few clients.
        """
        now_s = time.monotonic()
        with self._lock:
            self._begun.append((now_s, count))
            while self._begun[0][0] < now_s - WITHIN_S:
                self._begun.popleft()
            lately = sum(each for _, each in self._begun)
        return count >= BATCH or lately >= MANY
