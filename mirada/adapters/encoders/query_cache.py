"""A text encoder with a cache of popular queries; equal queries at one time are computed once."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future

import numpy as np

from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.prompts import normalised_prompt
from mirada.kernel.vector_cache import CacheCounts, VectorCache
from mirada.ports import TextEncoder

MAX_ENTRIES = 4_096
MAX_BYTES = 16 * 1024 * 1024
"""Limits of one space's cache in one process: 4,096 vectors of 512 numbers with texts take about 9 MiB."""


class QueryCache:
    """The vectors of one space's queries, cached or being computed. Thread-safe.

    Texts are kept in memory only, until the process ends.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        """Begin empty; the limits are those of `VectorCache`."""
        self._cache: VectorCache[str] = VectorCache(max_entries, max_bytes)
        self._lock = threading.Lock()
        self._computing: dict[str, Future[Vector]] = {}

    def counts(self) -> CacheCounts:
        """Return the counts of the cache; a wait for another caller's vector counts as a miss."""
        return self._cache.counts()

    def vectors_of(self, texts: Iterable[str], encoder: TextEncoder) -> dict[str, Vector]:
        """Return vectors by text: from the cache, from another caller's computation, or from the encoder.

        The encoder's errors are raised in every caller that waits for the same text.
        """
        ours: dict[str, Future[Vector]] = {}
        theirs: dict[str, Future[Vector]] = {}
        wanted = dict.fromkeys(texts)
        # One lock covers both lookups, so a vector that has just become ready is found in one of them.
        with self._lock:
            found = self._cache.get(wanted)
            for text in (each for each in wanted if each not in found):
                if text in self._computing:
                    theirs[text] = self._computing[text]
                else:
                    ours[text] = self._computing[text] = Future()
        if ours:
            # Computing comes before waiting, or two callers could wait for each other.
            found |= self._compute(ours, encoder)
        return found | {text: vector.result() for text, vector in theirs.items()}

    def _compute(self, ours: dict[str, Future[Vector]], encoder: TextEncoder) -> dict[str, Vector]:
        try:
            rows = encoder.encode_texts(list(ours))
            # A row that is not copied would keep the whole batch in memory.
            vectors = {text: row.copy() for text, row in zip(ours, rows, strict=True)}
        except BaseException as error:  # The error is raised in the threads that wait, too.
            with self._lock:
                for text in ours:
                    del self._computing[text]
            for waiting in ours.values():
                waiting.set_exception(error)
            raise
        with self._lock:
            self._cache.put(vectors)
            for text in ours:
                del self._computing[text]
        for text, waiting in ours.items():
            waiting.set_result(vectors[text])
        return vectors


class QueryEncoder:
    """A text encoder of queries that normalises them and looks them up in a cache."""

    def __init__(self, encoder: TextEncoder, cache: QueryCache | None) -> None:
        """Wrap an encoder.

        Args:
            encoder: computes the vectors that are not cached.
            cache: the cache of the encoder's space; None computes every vector.
        """
        self.space = encoder.space
        self._encoder = encoder
        self._cache = cache

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows of the normalised texts; see `ports.TextEncoder`."""
        normalised = [normalised_prompt(text) for text in texts]
        if self._cache is None or not normalised:
            return self._encoder.encode_texts(normalised)
        vectors = self._cache.vectors_of(normalised, self._encoder)
        return np.stack([vectors[text] for text in normalised])
