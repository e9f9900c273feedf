"""A text encoder that remembers popular queries and computes what several ask for at once only once."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future

import numpy as np

from mirada.kernel.embeddings import EmbeddingSpace, Matrix, Vector
from mirada.kernel.prompts import normalised_prompt
from mirada.kernel.vector_cache import CacheCounts, VectorCache
from mirada.ports import TextEncoder

MAX_ENTRIES = 4_096
MAX_BYTES = 16 * 1024 * 1024
"""Of one space in one process: 4,096 vectors of 512 numbers and their texts are about 9 MiB."""


class QueryCache:
    """The vectors of one space's queries, known or just being computed. Thread-safe.

    Texts are kept in memory only, and no longer than the process.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        """Know nothing yet; the limits are those of `VectorCache`."""
        self._cache: VectorCache[str] = VectorCache(max_entries, max_bytes)
        self._lock = threading.Lock()
        self._computing: dict[str, Future[Vector]] = {}

    def counts(self) -> CacheCounts:
        """Return what was known and what was not; who waits for another's vector did not know it."""
        return self._cache.counts()

    def vectors_of(self, texts: Iterable[str], encoder: TextEncoder) -> dict[str, Vector]:
        """Return vectors by text: known ones, others' when ready, and the rest from the encoder.

        Raises what the encoder raises, also to those who waited for the same text.
        """
        ours: dict[str, Future[Vector]] = {}
        theirs: dict[str, Future[Vector]] = {}
        wanted = dict.fromkeys(texts)
        # One lock around both looks: a vector that is just ready is in one of the two.
        with self._lock:
            found = self._cache.get(wanted)
            for text in (each for each in wanted if each not in found):
                if text in self._computing:
                    theirs[text] = self._computing[text]
                else:
                    ours[text] = self._computing[text] = Future()
        if ours:
            # Before waiting for anybody, or two callers could wait for each other.
            found |= self._compute(ours, encoder)
        return found | {text: vector.result() for text, vector in theirs.items()}

    def _compute(self, ours: dict[str, Future[Vector]], encoder: TextEncoder) -> dict[str, Vector]:
        try:
            rows = encoder.encode_texts(list(ours))
            # Copies, or a small vector would keep a large batch in memory.
            vectors = {text: row.copy() for text, row in zip(ours, rows, strict=True)}
        except BaseException as error:  # Others wait in their own threads; it is raised there.
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
    """A text encoder for what people ask: equal questions get equal vectors, popular ones at once."""

    def __init__(self, encoder: TextEncoder, memory: QueryCache | None) -> None:
        """Wrap an encoder.

        Args:
            encoder: computes what is not known.
            memory: of the encoder's space; None computes everything.
        """
        self._encoder = encoder
        self._memory = memory

    @property
    def space(self) -> EmbeddingSpace:
        """The encoder's."""
        return self._encoder.space

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows of the normalised texts; see `ports.TextEncoder`."""
        normalised = [normalised_prompt(text) for text in texts]
        if self._memory is None or not normalised:
            return self._encoder.encode_texts(normalised)
        vectors = self._memory.vectors_of(normalised, self._encoder)
        return np.stack([vectors[text] for text in normalised])
