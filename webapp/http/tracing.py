"""The request id: taken from the client or made, sent back, logged, and kept with jobs."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from flask import Flask, Response, g, request

access_logger = structlog.get_logger("webapp.access")

SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
"""64 characters is the width of jobs.request_id; the alphabet cannot forge log lines or headers."""
QUIET_PREFIXES = ("/health", "/livez", "/readyz", "/metrics", "/assets/")


def register(app: Flask) -> None:
    """Install the hooks; call it before any other `register`."""
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_forget)


def request_id() -> str:
    """Return the id of the request being served."""
    return str(g.request_id)


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if SANE_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    g.began_at_s = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _finish(response: Response) -> Response:
    if "request_id" not in g:
        return response
    response.headers["X-Request-ID"] = g.request_id
    is_quiet = response.status_code < 400 and request.path.startswith(QUIET_PREFIXES)
    log = access_logger.debug if is_quiet else access_logger.info
    caller = g.get("caller")
    log(
        "request",
        method=request.method,
        path=request.path,
        status=response.status_code,
        duration_ms=round((time.perf_counter() - g.began_at_s) * 1000, 1),
        user_id=caller.user_id if caller else None,
    )
    return response


def _forget(_error: BaseException | None) -> None:
    structlog.contextvars.clear_contextvars()
