"""Copies what a process's encoders, caches, indexes and pool count by themselves into instruments."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from prometheus_client import Counter, Metric

from mirada.kernel.tally import Tally
from mirada.kernel.vector_cache import CacheCounts
from mirada.metrics import instruments as to
from mirada.ports import IndexStatus
from mirada.runtime import Runtime

QUERIES = "queries:"
INDEX = "index:"
CACHES = {"label_vectors": "labels", "theme_vectors": "themes"}
"""Of these a process has one for all spaces."""


class Publisher:
    """Publishes one runtime's counts. Builds nothing, asks no server, never waits. Thread-safe."""

    def __init__(
        self,
        runtime: Runtime,
        gather: Callable[[], Iterable[Metric]] = to.INSTRUMENTS.collect,
    ) -> None:
        """Keep the runtime.

        Args:
            runtime: whose counts these are; one publisher for each.
            gather: returns what all instruments say, of other processes too where there are any.
        """
        self._runtime = runtime
        self._gather = gather
        self._lock = threading.Lock()
        self._published: dict[tuple[object, ...], float] = {}

    def collect(self) -> Iterable[Metric]:
        """Return what all instruments say now; a Prometheus collector."""
        self.publish()
        return self._gather()

    def publish(self) -> None:
        """Bring the instruments up to date."""
        with self._lock:
            for name, port in self._runtime.built().items():
                if isinstance(tally := getattr(port, "tally", None), Tally):
                    self._encoder(port, tally)
                elif name.startswith(QUERIES):
                    self._cache("queries", name.removeprefix(QUERIES), port.counts())
                elif name in CACHES:
                    self._cache(CACHES[name], "", port.counts())
                elif name.startswith(INDEX):
                    self._index(int(name.removeprefix(INDEX)), port.known_status())
            self._connections()

    def _encoder(self, encoder: Any, tally: Tally) -> None:
        space = encoder.space.name
        for kind, done in tally.read().items():
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
        # Read when the index was loaded, so the database is not asked.
        space = self._runtime.vector_source(space_id).space
        to.INDEX_VECTORS.labels(space.name, str(space.kind)).set(status.live_count)
        for gauge, value in (
            (to.INDEX_DEAD, status.dead_count),
            (to.INDEX_DELTA, status.delta_count),
            (to.INDEX_CHANGE_SEQ, status.change_seq),
            (to.SNAPSHOT_CREATED, _timestamp(status.snapshot_created_at)),
            (to.SNAPSHOT_RECALL, _recall(status)),
            (to.SNAPSHOT_EF_SEARCH, status.parameters.get("ef_search") or math.nan),
        ):
            gauge.labels(space.name).set(value)

    def _connections(self) -> None:
        connections = self._runtime.database.connections()
        to.DATABASE_CONNECTIONS.labels("in_use").set(connections.in_use)
        to.DATABASE_CONNECTIONS.labels("idle").set(connections.idle)
        to.DATABASE_CONNECTIONS_LIMIT.set(connections.limit)

    def _advance(self, counter: Counter, total: float, *labels: str) -> None:
        counter.labels(*labels).inc(self._news(total, counter, *labels))

    def _news(self, total: float, *key: object) -> float:
        """Return by how much a total has grown since it was last asked about."""
        past = self._published.get(key, 0.0)
        self._published[key] = total
        return total - past


def _timestamp(moment: datetime | None) -> float:
    return math.nan if moment is None else moment.timestamp()


def _recall(status: IndexStatus) -> float:
    """Return the least recall that was measured; a snapshot without a graph is exact."""
    if status.snapshot is None:
        return math.nan
    measured = status.recall.get("at_ef_search", {"exact": 1.0})
    return min(float(value) for name, value in measured.items() if name != "ef_search")
