"""Requests that the front answers by itself, and the bytes of such replies."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from gunicorn.http import errors as http_errors

from webapp.http.errors import PROBLEM_MEDIA_TYPE, code_of
from webapp.http.tracing import SANE_REQUEST_ID

RETRY_AFTER_S = 2
_STATUS_OF: tuple[tuple[type[Exception], int], ...] = (
    (http_errors.LimitRequestLine, 414),
    (http_errors.LimitRequestHeaders, 431),
    (http_errors.ExpectationFailed, 417),
    (http_errors.UnsupportedTransferCoding, 501),
    (http_errors.ForbiddenProxyRequest, 403),
    (http_errors.ParseException, 400),
)


class Refused(Exception):
    """A request that no view sees: its status, and a sentence about what happened and what to do."""

    def __init__(self, status: int, detail: str) -> None:
        """Keep both."""
        super().__init__(detail)
        self.status = status
        self.detail = detail


def refusal_of(error: Exception) -> Refused:
    """Return what to say of a request that Gunicorn could not read or answer; 500 for a fault of ours."""
    for kind, status in _STATUS_OF:
        if isinstance(error, kind):
            return Refused(status, f"This is not a request that HTTP allows: {error}.")
    return Refused(500, "Something went wrong here that should not have. The log has the details.")


def sane_request_id(given: str) -> str:
    """Return the request's id if it is one, or else a new one."""
    return given if SANE_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def problem_bytes(status: int, detail: str, given_id: str = "") -> bytes:
    """Return a whole reply, `application/problem+json` (RFC 9457), that closes the connection.

    Args:
        status: HTTP status, 400 or more.
        detail: what happened and what to do.
        given_id: the request id that the client sent; replaced where it is none.
    """
    request_id, phrase, code = sane_request_id(given_id), HTTPStatus(status).phrase, code_of(status)
    body = json.dumps(
        {
            "type": f"/problems/{code}",
            "title": phrase,
            "status": status,
            "detail": detail,
            "code": code,
            "errors": {},
            "request_id": request_id,
        }
    ).encode()
    headers = [
        ("Content-Type", PROBLEM_MEDIA_TYPE),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Request-ID", request_id),
    ]
    if status == 503:
        headers.append(("Retry-After", str(RETRY_AFTER_S)))
    return _head_bytes(status, headers) + body


def _head_bytes(status: int, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Alive:
    """The reply of /livez and /health/live, made once by the application and then kept as bytes."""

    PATHS = ("/livez", "/health/live")
    _VARYING = frozenset({"x-request-id", "content-length", "connection", "date"})

    def __init__(self, headers: list[tuple[str, str]], body: bytes, prefix: str = "") -> None:
        """Keep a reply.

        Args:
            headers: of the application's own reply.
            body: of it.
            prefix: the path under which a proxy shows the server, "" for none. It may be left out.
        """
        self._headers = [(n, v) for n, v in headers if n.lower() not in self._VARYING]
        self._headers.append(("Content-Length", str(len(body))))
        self._body = body
        self._paths = frozenset(
            before + path + end
            for before in ("", prefix)
            for path in self.PATHS
            for end in ("", "/")
        )

    def answers(self, method: str, path: str) -> bool:
        """Return whether a request is for this reply."""
        return path in self._paths and method in ("GET", "HEAD")

    def reply(self, method: str, given_id: str, *, stays: bool) -> bytes:
        """Return the bytes of a reply.

        Args:
            method: GET, or HEAD for the head alone.
            given_id: the request id that the client sent.
            stays: whether the connection stays open.
        """
        connection = "keep-alive" if stays else "close"
        headers = [
            *self._headers,
            ("Connection", connection),
            ("X-Request-ID", sane_request_id(given_id)),
        ]
        return _head_bytes(200, headers) + (b"" if method == "HEAD" else self._body)


def refuse(request: Any, client: Any, error: Exception, log: Any) -> None:
    """Answer a request that could not be read, and log what is nobody's fault but ours."""
    refused = refusal_of(error)
    if refused.status == 500:
        log.exception("Error handling request %s", getattr(request, "path", "(not read)"))
    with suppress(OSError):
        client.sendall(problem_bytes(refused.status, refused.detail))
