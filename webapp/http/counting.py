"""Metrics that only a web server keeps: requests."""

from __future__ import annotations

import functools
import re
import time

from flask import Flask, Response, g, request
from prometheus_client import Histogram

from mirada.metrics.instruments import INSTRUMENTS

HTTP_SECONDS = Histogram(
    "mirada_http_request_duration_seconds",
    "Requests by route, and how long they took until the reply began.",
    ("method", "rule", "status"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=INSTRUMENTS,
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""A client can send any word as a method; other methods are counted together."""
_VARIABLE = re.compile(r"<(?:[^<>:]*:)?([^<>]+)>")


def register(app: Flask) -> None:
    """Count requests from now on; call it right after `tracing.register`, so that all is counted."""
    app.after_request(_count)


def _count(response: Response) -> Response:
    if "began_at_s" in g:
        # The route's rule, not the path: paths hold ids and names, and there is no end of them.
        rule = "unmatched" if request.url_rule is None else _template_of(request.url_rule.rule)
        method = request.method if request.method in METHODS else "other"
        HTTP_SECONDS.labels(method, rule, response.status_code).observe(
            time.perf_counter() - g.began_at_s
        )
    return response


@functools.cache
def _template_of(rule: str) -> str:
    """Return a rule as the OpenAPI document writes it, such as /api/v1/images/{image_id}."""
    return _VARIABLE.sub(r"{\1}", rule)
