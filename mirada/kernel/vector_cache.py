"""A bounded cache of vectors in memory that keeps popular ones longest. No I/O."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from mirada.kernel.embeddings import Vector

Key = TypeVar("Key", bound=Hashable)

PROTECTED_SHARE = 0.8
"""Share of the room for vectors that were asked for again. Source: Einziger, Friedman and Manes,
"TinyLFU", ACM Transactions on Storage 13 (2017), section 4."""


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """The counts of a cache since it was made, and its present size.

    Attributes:
        hits: keys that were asked for and found.
        misses: keys that were asked for and not found.
        evictions: vectors that were removed to make room.
        entries: vectors in the cache.
        bytes: size of vectors and keys, without the dictionaries around them.
    """

    hits: int
    misses: int
    evictions: int
    entries: int
    bytes: int


class _Segment(Generic[Key]):
    """Vectors by key, the least recently used one first."""

    def __init__(self) -> None:
        self.vectors: OrderedDict[Key, Vector] = OrderedDict()
        self.bytes = 0

    def add(self, key: Key, vector: Vector) -> None:
        self.vectors[key] = vector
        self.bytes += _size(key, vector)

    def remove(self, key: Key) -> Vector:
        vector = self.vectors.pop(key)
        self.bytes -= _size(key, vector)
        return vector

    def remove_oldest(self) -> tuple[Key, Vector]:
        key = next(iter(self.vectors))
        return key, self.remove(key)


class VectorCache(Generic[Key]):
    """A segmented LRU cache of vectors by key, limited in number and bytes. Thread-safe.

    A new vector is in the probation segment; asked for again, it moves to the protected segment.
    Vectors are evicted from probation first, so a flood of keys that come once evicts nothing
    popular. A full protected segment moves its least recently used vectors back to probation.

    Source: Karedla, Love and Wherry, "Caching strategies to improve disk system performance", IEEE
    Computer 27 (1994), number 3.
    """

    def __init__(self, max_entries: int, max_bytes: int | None = None) -> None:
        """Begin empty.

        Args:
            max_entries: most vectors, >= 2.
            max_bytes: most bytes of vectors and keys; None for no limit.
        """
        self._max_entries = max_entries
        self._max_bytes = sys.maxsize if max_bytes is None else max_bytes
        self._lock = threading.Lock()
        self._probation: _Segment[Key] = _Segment()
        self._protected: _Segment[Key] = _Segment()
        self._hits = self._misses = self._evictions = 0

    def get(self, keys: Iterable[Key]) -> dict[Key, Vector]:
        """Return the vectors in the cache by key; each of them counts as used."""
        found: dict[Key, Vector] = {}
        with self._lock:
            for key in keys:
                vector = self._used(key)
                if vector is None:
                    self._misses += 1
                else:
                    self._hits += 1
                    found[key] = vector
        return found

    def put(self, vectors: Mapping[Key, Vector]) -> None:
        """Store vectors by key, and evict others where there is no room."""
        with self._lock:
            for key, vector in vectors.items():
                is_protected = key in self._protected.vectors
                segment = self._protected if is_protected else self._probation
                if key in segment.vectors:
                    segment.remove(key)
                segment.add(key, vector)
            self._make_room()

    def counts(self) -> CacheCounts:
        """Return the counts so far and the present size."""
        with self._lock:
            return CacheCounts(
                self._hits, self._misses, self._evictions, self._entries(), self._bytes()
            )

    def _used(self, key: Key) -> Vector | None:
        if key in self._protected.vectors:
            self._protected.vectors.move_to_end(key)
            return self._protected.vectors[key]
        if key not in self._probation.vectors:
            return None
        vector = self._probation.remove(key)
        self._protected.add(key, vector)
        while (
            len(self._protected.vectors) > PROTECTED_SHARE * self._max_entries
            or self._protected.bytes > PROTECTED_SHARE * self._max_bytes
        ):
            self._probation.add(*self._protected.remove_oldest())
        return vector

    def _make_room(self) -> None:
        while self._entries() > self._max_entries or self._bytes() > self._max_bytes:
            segment = self._probation if self._probation.vectors else self._protected
            segment.remove_oldest()
            self._evictions += 1

    def _entries(self) -> int:
        return len(self._probation.vectors) + len(self._protected.vectors)

    def _bytes(self) -> int:
        return self._probation.bytes + self._protected.bytes


def _size(key: Hashable, vector: Vector) -> int:
    return sys.getsizeof(key) + vector.nbytes
