"""Copies the counts of a process's encoders, caches, indexes and connections into its metrics."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from prometheus_client import Counter, Metric

from mirada.kernel.encoder_counters import EncoderCounters
from mirada.kernel.similarity import SearchWay
from mirada.kernel.vector_cache import CacheCounts
from mirada.metrics import instruments as to
from mirada.ports import IndexStatus
from mirada.runtime import Runtime

QUERIES = "queries:"
INDEX = "index:"
"""Prefixes of the runtime's names of ports; the rest of the name is the space."""
CACHES = {"label_vectors": "labels", "theme_vectors": "themes"}
"""Caches that serve all spaces: the runtime's name of the port, and the label `cache`."""


class Publisher:
    """Publishes one runtime's counts. It builds no port, asks no server and never waits. Thread-safe."""

    def __init__(
        self,
        runtime: Runtime,
        gather: Callable[[], Iterable[Metric]] = to.INSTRUMENTS.collect,
    ) -> None:
        """Keep the runtime; each runtime has one publisher.

        Args:
            runtime: the runtime whose counts are published.
            gather: returns all metrics, with those of other processes where they share them.
        """
        self._runtime = runtime
        self._gather = gather
        self._lock = threading.Lock()
        self._published: dict[tuple[object, ...], float] = {}

    def collect(self) -> Iterable[Metric]:
        """Publish, then return all metrics; this makes the publisher a Prometheus collector."""
        self.publish()
        return self._gather()

    def publish(self) -> None:
        """Bring the metrics up to date."""
        with self._lock:
            for name, port in self._runtime.built().items():
                if isinstance(counters := getattr(port, "counters", None), EncoderCounters):
                    self._encoder(port, counters)
                elif name.startswith(QUERIES):
                    self._cache("queries", name.removeprefix(QUERIES), port.counts())
                elif name in CACHES:
                    self._cache(CACHES[name], "", port.counts())
                elif name.startswith(INDEX):
                    self._index(int(name.removeprefix(INDEX)), port.known_status())
            self._connections()

    def _encoder(self, encoder: Any, counters: EncoderCounters) -> None:
        space = encoder.space.name
        for kind, done in counters.read().items():
            self._advance(to.ENCODED, done.items, space, kind)
            self._advance(to.ENCODER_FAILURES, done.failures, space, kind)
            self._advance(to.ENCODER_SECONDS, done.seconds, space, kind)
            histogram = to.BATCH_ITEMS.labels(space, kind)
            for size, count in done.batches.items():
                for _ in range(int(self._news(count, histogram, size))):
                    histogram.observe(size)
        waiting = getattr(encoder, "waiting_count", None)
        if waiting is not None:
            to.ENCODER_WAITING.labels(space).set(waiting)

    def _cache(self, cache: str, space: str, counts: CacheCounts) -> None:
        self._advance(to.CACHE_LOOKUPS, counts.hits, cache, space, "hit")
        self._advance(to.CACHE_LOOKUPS, counts.misses, cache, space, "miss")
        self._advance(to.CACHE_EVICTIONS, counts.evictions, cache, space)
        to.CACHE_ENTRIES.labels(cache, space).set(counts.entries)
        to.CACHE_BYTES.labels(cache, space).set(counts.bytes)

    def _index(self, space_id: int, status: IndexStatus | None) -> None:
        if status is None:
            return
        # The space was read when the index was loaded, so the database is not asked.
        space = self._runtime.vector_source(space_id).space
        to.INDEX_VECTORS.labels(space.name, str(space.kind)).set(status.live_count)
        for gauge, value in (
            (to.INDEX_DEAD, status.dead_count),
            (to.INDEX_DELTA, status.delta_count),
            (to.INDEX_CHANGE_SEQ, status.change_seq),
            (to.SNAPSHOT_CREATED, _timestamp(status.snapshot_created_at)),
            (to.SNAPSHOT_RECALL, _recall(status)),
            (to.SNAPSHOT_EF_SEARCH, _beam(status)),
        ):
            gauge.labels(space.name).set(value)
        for way in status.ways:
            factor = way.factor if way.is_in_use else 0.0
            to.WAY_FACTOR.labels(space.name, way.form, way.way).set(factor)

    def _connections(self) -> None:
        connections = self._runtime.database.connections()
        to.DATABASE_CONNECTIONS.labels("in_use").set(connections.in_use)
        to.DATABASE_CONNECTIONS.labels("idle").set(connections.idle)
        to.DATABASE_CONNECTIONS_LIMIT.set(connections.limit)

    def _advance(self, counter: Counter, total: float, *labels: str) -> None:
        counter.labels(*labels).inc(self._news(total, counter, *labels))

    def _news(self, total: float, *key: object) -> float:
        """Return the growth of a total since the last call with the same key."""
        past = self._published.get(key, 0.0)
        self._published[key] = total
        return total - past


def _timestamp(moment: datetime | None) -> float:
    return math.nan if moment is None else moment.timestamp()


def _recall(status: IndexStatus) -> float:
    """Return the lowest recall of a way in use; 1 where every answer is exact, NaN without a snapshot."""
    if status.snapshot is None:
        return math.nan
    in_use = (way.recall for way in status.ways if way.is_in_use)
    return min((recall for recall in in_use if recall is not None), default=1.0)


def _beam(status: IndexStatus) -> float:
    """Return the widest beam in use, for ten results; NaN where no graph is walked."""
    beams = (way.setting for way in status.ways if way.is_in_use and way.way is SearchWay.HNSW)
    return max((beam for beam in beams if beam is not None), default=math.nan)
