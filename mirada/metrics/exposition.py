"""Renders metrics in the two text formats that Prometheus reads."""

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
"""Media ranges that the plain text format satisfies (RFC 9110, 12.5.1)."""


def registry_of(*collectors: Collector, is_one_process: bool = True) -> CollectorRegistry:
    """Return a registry of these collectors and of the operating system's figures of this process.

    Args:
        *collectors: in the order in which they are collected and shown.
        is_one_process: whether the metrics are of this process alone, so that its figures fit them.
    """
    registry = CollectorRegistry()
    of_process = (PROCESS_COLLECTOR, GC_COLLECTOR) if is_one_process else ()
    for collector in (*collectors, PLATFORM_COLLECTOR, *of_process):
        registry.register(collector)
    return registry


def rendered(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return the metrics in the format that an Accept header prefers, and its content type.

    The format is OpenMetrics 1.0 where the header prefers it to plain text, else text format 0.0.4.
    """
    # The library's own choice fails on a version that is no number.
    for media_range, _ in parse_accept_header(accept, MIMEAccept):
        kind = media_range.split(";")[0].strip().lower()
        if kind == OPENMETRICS_TYPE:
            return openmetrics.generate_latest(registry), OPENMETRICS  # type: ignore[no-untyped-call]
        if kind in PLAIN_TYPES:
            break
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4
