"""The id of each request, its line in the log, and its metrics."""

from __future__ import annotations

import functools
import re
import time
import uuid

import structlog
from flask import Flask, Response, g, request
from prometheus_client import Histogram

from mirada.metrics.instruments import INSTRUMENTS

access_logger = structlog.get_logger("webapp.access")

SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
"""64 characters is the width of jobs.request_id; the alphabet cannot forge log lines or headers."""
QUIET_PREFIXES = ("/health", "/livez", "/readyz", "/metrics", "/assets/")

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
    """Install the hooks; call it before any other `register`."""
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_forget)


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if SANE_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    g.began_at_s = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _finish(response: Response) -> Response:
    if "request_id" not in g:
        return response
    duration_s = time.perf_counter() - g.began_at_s
    # The route's rule, not the path: paths hold ids and names, and there is no end of them.
    rule = "unmatched" if request.url_rule is None else _template_of(request.url_rule.rule)
    method = request.method if request.method in METHODS else "other"
    HTTP_SECONDS.labels(method, rule, response.status_code).observe(duration_s)
    response.headers["X-Request-ID"] = g.request_id
    is_quiet = response.status_code < 400 and request.path.startswith(QUIET_PREFIXES)
    caller = g.get("caller")
    (access_logger.debug if is_quiet else access_logger.info)(
        "request",
        method=request.method,
        path=request.path,
        status=response.status_code,
        duration_ms=round(duration_s * 1000, 1),
        user_id=caller.user_id if caller else None,
    )
    return response


def _forget(_error: BaseException | None) -> None:
    structlog.contextvars.clear_contextvars()


@functools.cache
def _template_of(rule: str) -> str:
    """Return a rule as the OpenAPI document writes it, such as /api/v1/images/{image_id}."""
    return _VARIABLE.sub(r"{\1}", rule)
