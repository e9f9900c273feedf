"""Batches concurrent calls of an encoder on one thread of the process, urgent calls first."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from mirada.kernel.embeddings import Matrix, SpaceKind, Vector
from mirada.kernel.encoder_counters import EncoderCounters
from mirada.kernel.errors import MiradaError, Unavailable
from mirada.kernel.heap import give_back_now
from mirada.kernel.images import RgbImage
from mirada.ports import CalibratedEncoder, TextEncoder

logger = logging.getLogger(__name__)

MAX_BATCH = 16
"""Items per forward pass. On a CPU a larger batch only delays the next call."""
MAX_WAITING = 512
"""Items that may wait before a call: under a minute of work at 10 pictures/s (ViT-B/32 on two cores)."""
LINGER_S = 0.003
"""Seconds that a busy encoder waits for more items; an idle one does not wait. Chosen here."""
BUSY_S = 0.050
"""Seconds after a batch in which the encoder counts as busy, since its callers may call again."""
REST_S = 1.0
"""Seconds after the last batch when the memory that batches took is given back."""
ANSWER_TIMEOUT_S = 120.0
"""Longest wait of a caller: the soft limit of an embedding job (CONTRACT A)."""
INTERACTIVE, BULK = 0, 1
"""Priorities; the lower number goes first."""


class _Item(NamedTuple):
    """One picture or text, and the vector that its caller waits for."""

    payload: Any
    vector: Future[Vector]


class _Described:
    """An encoder with the properties of the one that it wraps.

    Attributes:
        space: the space of both towers.
        device: the device of the encoder: "cpu", "cuda" or "mps".
        input_side_px: side of the network's square input, in pixels.
        logit_scale: factor from cosine to logit.
        logit_bias: summand of the logit, beside scale x cosine.
    """

    def __init__(self, encoder: CalibratedEncoder) -> None:
        self.space = encoder.space
        self.device = encoder.device
        self.input_side_px = encoder.input_side_px
        self.logit_scale = encoder.logit_scale
        self.logit_bias = encoder.logit_bias


class InteractiveEncoder(_Described):
    """The encoder for calls that a person waits for; see `BatchingEncoder.interactive`."""

    def __init__(self, owner: BatchingEncoder) -> None:
        super().__init__(owner)
        self._owner = owner

    def encode_images(self, images: Sequence[RgbImage]) -> Matrix:
        """See `BatchingEncoder.encode_images`."""
        return self._owner._ask("images", images, INTERACTIVE)

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """See `BatchingEncoder.encode_texts`."""
        return self._owner._ask("texts", texts, INTERACTIVE)


class BatchingEncoder(_Described):
    """Wraps an encoder so that concurrent callers share forward passes. Thread-safe.

    The thread starts with the first call, so that a process may fork before it. A call is admitted
    as a whole or not at all; its items may be in several batches. When a batch fails, its items are
    tried one by one, so that a bad picture fails alone.

    Attributes:
        counters: counts of items, failures and time so far.
    """

    def __init__(
        self,
        encoder: CalibratedEncoder,
        *,
        max_batch: int = MAX_BATCH,
        max_waiting: int = MAX_WAITING,
        linger_s: float = LINGER_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        """Wrap an encoder; no thread starts yet."""
        super().__init__(encoder)
        self.counters = EncoderCounters()
        self._encoder = encoder
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._linger_s = linger_s
        self._answer_timeout_s = answer_timeout_s
        self._turn = itertools.count()
        self._changed = threading.Condition()
        self._waiting: dict[str, list[tuple[int, int, _Item]]] = {"images": [], "texts": []}
        self._thread: threading.Thread | None = None
        self._closed = False
        self._last_batch_at = float("-inf")

    @property
    def waiting_count(self) -> int:
        """Number of items that wait for the encoder now."""
        with self._changed:
            return sum(len(heap) for heap in self._waiting.values())

    def interactive(self) -> InteractiveEncoder:
        """Return this encoder for calls that a person waits for; they precede all bulk work."""
        return InteractiveEncoder(self)

    def encode_images(self, images: Sequence[RgbImage]) -> Matrix:
        """Return (n, d) float32 unit rows, in the order given, as bulk work.

        Raises:
            InvalidInput: an item is not a picture.
            Unavailable: too many items wait, the answer took too long, or the encoder is closed.
            EncoderUnavailable: the device fails.
        """
        return self._ask("images", images, BULK)

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows, in the order given, as bulk work.

        Raises:
            Unavailable: too many items wait, the answer took too long, or the encoder is closed.
            EncoderUnavailable: the device fails.
        """
        return self._ask("texts", texts, BULK)

    def close(self) -> None:
        """Finish the present batch, refuse waiting calls, end the thread; harmless to repeat."""
        with self._changed:
            self._closed = True
            for heap in self._waiting.values():
                while heap:
                    vector = heapq.heappop(heap)[2].vector
                    if vector.set_running_or_notify_cancel():
                        vector.set_exception(_closed())
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _ask(self, kind: str, payloads: Sequence[Any], priority: int) -> Matrix:
        if len(payloads) == 0:
            return np.empty((0, self.space.dimension), dtype=np.float32)
        items = [_Item(payload, Future()) for payload in payloads]
        self._admit(kind, items, priority)
        late = wait([item.vector for item in items], self._answer_timeout_s).not_done
        if late:
            for vector in late:
                vector.cancel()
            raise Unavailable("The encoder is too busy to answer in time.", retry_after_s=10)
        return np.stack([item.vector.result() for item in items])

    def _admit(self, kind: str, items: list[_Item], priority: int) -> None:
        with self._changed:
            if self._closed:
                raise _closed()
            # Bulk work that waits holds up no urgent call, so it refuses none.
            waiting = sum(entry[0] <= priority for heap in self._waiting.values() for entry in heap)
            # A call larger than the whole queue is admitted when the queue is empty.
            if waiting and waiting + len(items) > self._max_waiting:
                raise Unavailable(
                    f"{waiting} pictures and texts wait for the encoder already.", retry_after_s=5
                )
            for item in items:
                heapq.heappush(self._waiting[kind], (priority, next(self._turn), item))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _run(self) -> None:
        has_rested = True
        while True:
            with self._changed:
                while not (self._closed or any(self._waiting.values())):
                    if not self._changed.wait(None if has_rested else REST_S):
                        break
                if self._closed:
                    return
                is_idle = not any(self._waiting.values())
                kind, batch = ("", []) if is_idle else self._take()
            if is_idle:
                self._rest()
            has_rested = is_idle
            if batch:
                self._encode(kind, batch)
                batch.clear()  # Or its pictures stay in memory until the next batch.
                self._last_batch_at = time.monotonic()

    def _rest(self) -> None:
        try:
            give_back_now()
        except Exception:  # As in _encode: what is saved is not worth the thread.
            logger.exception("Memory of batches was not given back.")

    def _take(self) -> tuple[str, list[_Item]]:
        """Return the most urgent kind and up to max_batch of its items; the caller holds the lock."""
        kind = self._most_urgent()
        is_busy = time.monotonic() - self._last_batch_at < BUSY_S
        deadline = time.monotonic() + self._linger_s
        while is_busy and len(self._waiting[kind]) < self._max_batch and not self._closed:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not self._changed.wait(left_s):
                break
        if not any(self._waiting.values()):
            return kind, []
        kind = self._most_urgent()
        heap = self._waiting[kind]
        batch: list[_Item] = []
        while heap and len(batch) < self._max_batch:
            item = heapq.heappop(heap)[2]
            if item.vector.set_running_or_notify_cancel():
                batch.append(item)
        return kind, batch

    def _most_urgent(self) -> str:
        """Return the kind of the most urgent item."""
        return min((heap[0][:2], kind) for kind, heap in self._waiting.items() if heap)[1]

    def _encode(self, kind: str, batch: list[_Item]) -> None:
        encode = self._encoder.encode_images if kind == "images" else self._encoder.encode_texts
        began_at = time.perf_counter()
        try:
            vectors = encode([item.payload for item in batch])
        except Exception as error:  # A dead thread would leave every caller waiting.
            if len(batch) > 1:
                for item in batch:
                    self._encode(kind, [item])
                return
            if not isinstance(error, MiradaError):
                logger.exception("The encoder raised an unexpected error.")
            self.counters.add_failure(kind)
            batch[0].vector.set_exception(error)
            return
        self.counters.add(kind, len(batch), time.perf_counter() - began_at)
        for item, vector in zip(batch, vectors, strict=True):
            item.vector.set_result(vector)


class TextTower:
    """A text encoder whose vectors belong to a space of another kind with the same model.

    Attributes:
        space: the space of every vector.
    """

    def __init__(self, encoder: TextEncoder, kind: SpaceKind) -> None:
        """Keep the encoder; its owner closes it. `kind` is the kind of the new space."""
        self._encoder = encoder
        self.space = replace(encoder.space, kind=kind)

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.TextEncoder`."""
        return self._encoder.encode_texts(texts)


class PromptTower(TextTower):
    """The encoder of prompts where TEXT_MODEL is not set; its vectors equal those of text queries."""

    def __init__(self, encoder: BatchingEncoder) -> None:
        """Keep the encoder; its owner closes it."""
        super().__init__(encoder, SpaceKind.PROMPT)
        self._batching = encoder

    def interactive(self) -> TextEncoder:
        """Return this encoder for calls that a person waits for; they precede all bulk work."""
        return TextTower(self._batching.interactive(), SpaceKind.PROMPT)


def _closed() -> Unavailable:
    return Unavailable("The encoder is shutting down.", retry_after_s=5)
