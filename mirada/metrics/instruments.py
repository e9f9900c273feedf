"""The metrics that every process keeps; those of the web server alone are in `webapp.http.counting`.

Several web processes share them through files. The client library decides so when it is imported; see
`mirada.metrics.multiprocess`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from mirada.kernel.errors import MiradaError

# A counter's time of creation would double the series, and several processes have no common one.
disable_created_metrics()  # type: ignore[no-untyped-call]

INSTRUMENTS = CollectorRegistry()
"""Mirada's own metrics; a library's, in the client's default registry, are not shown."""

JOB_SECONDS = Histogram(
    "mirada_job_attempt_duration_seconds",
    "Attempts at jobs, and how long they took.",
    ("kind", "outcome"),
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 3600),
    registry=INSTRUMENTS,
)
UPLOADS = Counter(
    "mirada_uploads",
    "Pictures sent to be kept.",
    ("outcome",),
    registry=INSTRUMENTS,
)

SEARCHES = Counter(
    "mirada_searches",
    "Searches by what was asked with, what it was compared with, how, and what the answer amounts to.",
    ("query", "compared", "way", "verdict"),
    registry=INSTRUMENTS,
)
ENCODED = Counter(
    "mirada_encoded_items",
    "Pictures and texts that the encoder gave a vector.",
    ("space", "kind"),
    registry=INSTRUMENTS,
)
ENCODER_FAILURES = Counter(
    "mirada_encoder_failures",
    "Pictures and texts that the encoder failed on.",
    ("space", "kind"),
    registry=INSTRUMENTS,
)
ENCODER_SECONDS = Counter(
    "mirada_encoder_busy_seconds",
    "Time spent inside the encoder.",
    ("space", "kind"),
    registry=INSTRUMENTS,
)
BATCH_ITEMS = Histogram(
    "mirada_encoder_batch_items",
    "Pictures or texts that shared a forward pass.",
    ("space", "kind"),
    buckets=(1, 2, 4, 8, 16, 32),
    registry=INSTRUMENTS,
)
ENCODER_WAITING = Gauge(
    "mirada_encoder_waiting_items",
    "Pictures and texts that wait for the encoder.",
    ("space",),
    multiprocess_mode="livesum",
    registry=INSTRUMENTS,
)

CACHE_LOOKUPS = Counter(
    "mirada_vector_cache_lookups",
    "Vectors looked up in memory.",
    ("cache", "space", "result"),
    registry=INSTRUMENTS,
)
CACHE_EVICTIONS = Counter(
    "mirada_vector_cache_evictions",
    "Vectors let go of to make room.",
    ("cache", "space"),
    registry=INSTRUMENTS,
)
CACHE_ENTRIES = Gauge(
    "mirada_vector_cache_entries",
    "Vectors in memory.",
    ("cache", "space"),
    multiprocess_mode="livesum",
    registry=INSTRUMENTS,
)
CACHE_BYTES = Gauge(
    "mirada_vector_cache_bytes",
    "What these vectors and their keys take.",
    ("cache", "space"),
    multiprocess_mode="livesum",
    registry=INSTRUMENTS,
)

# Of several processes, the one that is furthest behind or has most to do is reported.
INDEX_VECTORS = Gauge(
    "mirada_index_vectors",
    "Vectors that can be found.",
    ("space", "kind"),
    multiprocess_mode="livemin",
    registry=INSTRUMENTS,
)
INDEX_DEAD = Gauge(
    "mirada_index_dead_vectors",
    "Vectors of the snapshot that were replaced or deleted since.",
    ("space",),
    multiprocess_mode="livemax",
    registry=INSTRUMENTS,
)
INDEX_DELTA = Gauge(
    "mirada_index_delta_vectors",
    "Vectors that came since the snapshot.",
    ("space",),
    multiprocess_mode="livemax",
    registry=INSTRUMENTS,
)
INDEX_CHANGE_SEQ = Gauge(
    "mirada_index_change_seq",
    "Number of the last change that searches reflect.",
    ("space",),
    multiprocess_mode="livemin",
    registry=INSTRUMENTS,
)
SNAPSHOT_CREATED = Gauge(
    "mirada_index_snapshot_timestamp_seconds",
    "When the snapshot in service was published; NaN without one.",
    ("space",),
    multiprocess_mode="livemin",
    registry=INSTRUMENTS,
)
SNAPSHOT_RECALL = Gauge(
    "mirada_index_snapshot_recall_ratio",
    "Recall@10 of the snapshot in service, as it was measured when it was built, of the kind of "
    "query it answers worst; NaN without one.",
    ("space",),
    multiprocess_mode="livemin",
    registry=INSTRUMENTS,
)
SNAPSHOT_EF_SEARCH = Gauge(
    "mirada_index_snapshot_ef_search",
    "Beam that this recall needs; NaN where no graph is walked.",
    ("space",),
    multiprocess_mode="livemin",
    registry=INSTRUMENTS,
)

LIVE_RECALL = Counter(
    "mirada_live_recall_neighbours",
    "True nearest neighbours of searches that were repeated exactly, and whether they had been found.",
    ("space", "form", "way", "share", "outcome"),
    registry=INSTRUMENTS,
)
WAY_FACTOR = Gauge(
    "mirada_index_way_factor",
    "How many times wider than measured a way is searched for a form of query; 0 where it is left out.",
    ("space", "form", "way"),
    multiprocess_mode="livemin",
    registry=INSTRUMENTS,
)

DATABASE_CONNECTIONS = Gauge(
    "mirada_database_connections",
    "Connections to the database that are in use or kept open.",
    ("state",),
    multiprocess_mode="livesum",
    registry=INSTRUMENTS,
)
DATABASE_CONNECTIONS_LIMIT = Gauge(
    "mirada_database_connections_limit",
    "Connections that may be open at once.",
    multiprocess_mode="livesum",
    registry=INSTRUMENTS,
)


class Upload(Protocol):
    """The outcome of an upload; see `mirada.pictures.intake.TakenIn`."""

    @property
    def is_new_content(self) -> bool:
        """Whether the picture's bytes were unknown before."""

    @property
    def was_replayed(self) -> bool:
        """Whether an image that was there was answered."""

    @property
    def was_there(self) -> bool:
        """Whether it was asked for by its bytes, and not by an Idempotency-Key."""


P = ParamSpec("P")
Taken = TypeVar("Taken", bound=Upload)


def counting_uploads(take_in: Callable[P, Taken]) -> Callable[P, Taken]:
    """Wrap a function that takes pictures in, and count outcomes: new, known, replayed or error code."""

    @functools.wraps(take_in)
    def counted(*args: P.args, **kwargs: P.kwargs) -> Taken:
        try:
            taken = take_in(*args, **kwargs)
        except MiradaError as error:
            UPLOADS.labels(error.code).inc()
            raise
        is_new = "new" if taken.is_new_content else "known"
        is_replayed = taken.was_replayed and not taken.was_there
        UPLOADS.labels("replayed" if is_replayed else is_new).inc()
        return taken

    return counted
