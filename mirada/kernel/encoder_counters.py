"""Counters of an encoder's work; the encoder counts, and `mirada.metrics` reads. No I/O."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EncoderCounts:
    """The counts of one kind of input since the encoder was made.

    Attributes:
        items: pictures or texts that got a vector.
        failures: pictures or texts that the encoder failed on.
        seconds: time that the encoder took for `items`.
        batches: number of calls by their number of items.
    """

    items: int = 0
    failures: int = 0
    seconds: float = 0.0
    batches: Mapping[int, int] = field(default_factory=dict)


class EncoderCounters:
    """Counters by kind of input, such as "images" and "texts". Thread-safe."""

    def __init__(self) -> None:
        """Begin without counts."""
        self._lock = threading.Lock()
        self._kinds: dict[str, EncoderCounts] = {}

    def add(self, kind: str, items: int, seconds: float) -> None:
        """Count one call of the encoder that returned `items` vectors in `seconds`."""
        with self._lock:
            past = self._kinds.get(kind, EncoderCounts())
            self._kinds[kind] = EncoderCounts(
                past.items + items,
                past.failures,
                past.seconds + seconds,
                Counter(past.batches) + Counter([items]),
            )

    def add_failure(self, kind: str) -> None:
        """Count one item that the encoder failed on."""
        with self._lock:
            past = self._kinds.get(kind, EncoderCounts())
            self._kinds[kind] = EncoderCounts(
                past.items, past.failures + 1, past.seconds, past.batches
            )

    def read(self) -> dict[str, EncoderCounts]:
        """Return the counts so far, by kind of input."""
        with self._lock:
            return dict(self._kinds)
