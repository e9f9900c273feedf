"""Metrics as text, in the two forms that Prometheus reads."""

from __future__ import annotations

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

OPENMETRICS = openmetrics.CONTENT_TYPE_LATEST
OPENMETRICS_TYPE = OPENMETRICS.split(";")[0]
PLAIN_TYPES = frozenset({"text/plain", "text/*", "*/*"})


def registry_of(*collectors: Collector, is_one_process: bool = True) -> CollectorRegistry:
    """Return a registry of these collectors, and of what the operating system says of this process.

    Args:
        *collectors: in the order in which they are asked and shown.
        is_one_process: whether the process that answers is the only one that the numbers are of.
    """
    registry = CollectorRegistry()
    of_process = (PROCESS_COLLECTOR, GC_COLLECTOR) if is_one_process else ()
    for collector in (*collectors, PLATFORM_COLLECTOR, *of_process):
        registry.register(collector)
    return registry


def rendered(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return the metrics in the form that an Accept header prefers, and its content type.

    OpenMetrics 1.0 where it is asked for before plain text, else the text format 0.0.4.
    """
    # Not the library's own choice, which fails on a version that is no number.
    for media_range, _ in parse_accept_header(accept, MIMEAccept):
        kind = media_range.split(";")[0].strip().lower()
        if kind == OPENMETRICS_TYPE:
            return openmetrics.generate_latest(registry), OPENMETRICS  # type: ignore[no-untyped-call]
        if kind in PLAIN_TYPES:
            break
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4
