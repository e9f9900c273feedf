"""How many jobs of a kind a process has begun lately, by which a rush is told."""

from __future__ import annotations

import threading
import time
from collections import deque

from mirada.jobs.batches import BATCH

WITHIN_S = 1.0
MANY = 2 * BATCH
"""Jobs within WITHIN_S that are a rush: two cores that make thumbnails as well embed 60 pictures."""


class Pace:
    """Counts the jobs of the last second. Thread-safe."""

    def __init__(self) -> None:
        """Begin with none."""
        self._begun: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count jobs that are begun now."""
        with self._lock:
            self._begun.append((time.monotonic(), count))

    def is_rush(self) -> bool:
        """Return whether MANY jobs were begun within the last second, however small their batches."""
        oldest_s = time.monotonic() - WITHIN_S
        with self._lock:
            while self._begun and self._begun[0][0] < oldest_s:
                self._begun.popleft()
            return sum(count for _, count in self._begun) >= MANY
