"""What an encoder has done: it counts by itself, and whoever shows metrics reads it; no I/O."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of one kind of input since the encoder was made.

    Attributes:
        items: pictures or texts that got a vector.
        failures: those that the encoder raised on.
        seconds: time inside the encoder, of those that got a vector.
        batches: how many calls of the encoder had so many items.
    """

    items: int = 0
    failures: int = 0
    seconds: float = 0.0
    batches: Mapping[int, int] = field(default_factory=dict)


class Tally:
    """Counts by kind of input, such as "images" and "texts". Thread-safe."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._lock = threading.Lock()
        self._kinds: dict[str, Encoded] = {}

    def add(self, kind: str, items: int, seconds: float) -> None:
        """Count one call of the encoder that gave so many vectors."""
        with self._lock:
            past = self._kinds.get(kind, Encoded())
            self._kinds[kind] = Encoded(
                past.items + items,
                past.failures,
                past.seconds + seconds,
                Counter(past.batches) + Counter([items]),
            )

    def add_failure(self, kind: str) -> None:
        """Count an item that the encoder raised on."""
        with self._lock:
            past = self._kinds.get(kind, Encoded())
            self._kinds[kind] = Encoded(past.items, past.failures + 1, past.seconds, past.batches)

    def read(self) -> dict[str, Encoded]:
        """Return what was counted so far, by kind."""
        with self._lock:
            return dict(self._kinds)
