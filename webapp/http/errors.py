"""Errors of the core as HTTP: the table of statuses, and RFC 9457 bodies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, g, has_request_context, request
from werkzeug.exceptions import HTTPException

from mirada.kernel import errors as domain
from webapp.http.json_bodies import SHOWN_CHARACTERS, shortened
from webapp.http.paths import near_route

logger = structlog.get_logger(__name__)

PROBLEM_MEDIA_TYPE = "application/problem+json"
REALM = "mirada"

STATUS_OF: dict[type[domain.MiradaError], int] = {
    domain.NotFound: 404,
    domain.NotAuthenticated: 401,
    domain.NotAllowed: 403,
    domain.UnsupportedImage: 415,
    domain.CorruptImage: 422,
    domain.ImageTooLarge: 413,
    domain.InvalidInput: 422,
    domain.PreconditionFailed: 412,
    domain.Conflict: 409,
    domain.SearchExpired: 410,
    domain.ExportExpired: 410,
    # Settings that do not fit the database are the operator's to mend, not the caller's.
    domain.EmbeddingSpaceMismatch: 503,
    domain.Unavailable: 503,
    domain.MiradaError: 500,
}
"""Looked up along the base classes of an error, so a new kind has its parent's status."""

RETRY_AFTER_S = 5
"""Seconds a caller waits after a 503 whose cause names no better number."""


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    title: str | None = None,
    errors: Mapping[str, Any] | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> Response:
    """Return an `application/problem+json` reply.

    Args:
        status: HTTP status, 400 or more.
        code: stable, machine-readable; `type` is derived from it.
        detail: what happened and what to do, for people.
        title: the same for every problem of this code; None takes the status's phrase.
        errors: messages by field, nested by where the field was.
        headers: further headers.
    """
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": shortened(errors or {}),
        "request_id": g.get("request_id") if has_request_context() else None,
    }
    response = Response(json.dumps(body), status, mimetype=PROBLEM_MEDIA_TYPE)
    for name, value in headers:
        response.headers[name] = value
    return response


def challenge(error: str | None = None, scopes: Iterable[str] = ()) -> tuple[str, str]:
    """Return the WWW-Authenticate header (RFC 6750, section 3).

    Args:
        error: what is wrong with the key that was sent; None when there was none.
        scopes: those that the call needs.
    """
    value = f'Bearer realm="{REALM}"'
    if error is not None:
        value += f', error="{error}"'
    if named := " ".join(scopes):
        value += f', scope="{named}"'
    return "WWW-Authenticate", value


def status_of(error: domain.MiradaError) -> int:
    """Return the HTTP status of an error of the core."""
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


def told_problem(error: domain.MiradaError) -> dict[str, Any]:
    """Return an error of the core as one of several answers in a reply tells it.

    Raises the error again where it is no answer: something went wrong here.
    """
    status = status_of(error)
    if status == 500:
        raise error
    return {
        "status": status,
        "code": error.code,
        "detail": error.detail,
        "errors": shortened(error.fields or {}),
    }


def handle_domain_error(error: domain.MiradaError) -> Response:
    """Return an error of the core as a problem."""
    status = status_of(error)
    if status == 500:
        return handle_unexpected(error)
    headers: list[tuple[str, str]] = []
    if status == 401:
        headers.append(challenge())
    if isinstance(error, domain.ScopeMissing):
        headers.append(challenge("insufficient_scope", error.scopes))
    if status == 503:
        wait_s = getattr(error, "retry_after_s", RETRY_AFTER_S)
        headers.append(("Retry-After", str(max(1, int(wait_s)))))
        # No traceback: during an outage every request comes here.
        logger.warning(
            "unavailable", code=error.code, detail=str(error), cause=repr(error.__cause__)
        )
    return problem(status, error.code, error.detail, errors=error.fields, headers=headers)


def handle_http_exception(error: HTTPException) -> Response:
    """Return an exception of Werkzeug or webargs as a problem with its own headers."""
    if error.response is not None and error.code is None:
        return error.response  # type: ignore[return-value]
    status = error.code or 500
    if status < 400:
        return error.get_response()  # type: ignore[return-value]
    # webargs keeps field errors as {"location": {"field": [...]}} in `messages`.
    given: Mapping[str, Any] = getattr(error, "data", None) or {}
    messages = given.get("errors") or given.get("messages") or {}
    headers = [
        (name, value)
        for name, value in error.get_headers()
        if name.lower() not in {"content-type", "content-length"}
    ]
    if status == 503 and not any(name.lower() == "retry-after" for name, _ in headers):
        headers.append(("Retry-After", str(RETRY_AFTER_S)))
    return problem(
        status,
        code_of(status),
        _detail(status, error, given, messages),
        errors=_without_location(messages),
        headers=headers,
    )


def handle_unexpected(error: Exception) -> Response:
    """Log an unexpected error with its traceback; the reply names the log alone."""
    logger.error("unexpected_error", path=request.path, method=request.method, exc_info=error)
    return problem(
        500,
        "internal_error",
        "Something went wrong here that should not have. The log has the details under this "
        "request id.",
    )


def _explain_failed_precondition(response: Response) -> Response:
    # Conditional file replies turn into a bare 412 without raising anything; a page says why itself.
    told = (PROBLEM_MEDIA_TYPE, "text/html")
    if response.status_code == 412 and response.mimetype not in told:
        # Lets go of the file that would have been sent.
        response.close()
        return problem(412, "precondition_failed", "The file is not the version you named.")
    return response


def register(app: Flask) -> None:
    """Install the handlers for all routes."""
    app.after_request(_explain_failed_precondition)
    app.register_error_handler(domain.MiradaError, handle_domain_error)
    app.register_error_handler(HTTPException, handle_http_exception)
    app.register_error_handler(Exception, handle_unexpected)


_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    411: "length_required",
    413: "request_too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    422: "invalid_input",
    429: "too_many_requests",
    500: "internal_error",
    503: "unavailable",
}


def code_of(status: int) -> str:
    """Return the code of a problem that HTTP itself names."""
    return _CODES.get(status, "http_error")


def _detail(
    status: int, error: HTTPException, given: Mapping[str, Any], messages: Mapping[str, Any]
) -> str:
    if "message" in given:
        return str(given["message"])
    if status == 404:
        near = near_route(request.path, request.method)
        where = "/openapi.json lists what there is." if near is None else f"It is at {near} here."
        return f"There is nothing at {request.path}. {where}"
    if status == 405:
        allowed = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        return f"{request.method} is not possible here. Possible: {allowed or 'another method'}."
    if status == 413:
        return _what_is_too_large()
    if messages:
        return f"The request does not make sense as it stands: {first_message(_without_location(messages))}"
    return error.description or HTTPStatus(status).phrase


def _what_is_too_large() -> str:
    """Return a sentence; the parser raises the same for a whole body and for its form fields."""
    body_bytes, most_bytes = request.content_length, request.max_content_length
    if body_bytes is None or most_bytes is None or body_bytes > most_bytes:
        return (
            f"The body is larger than the {(most_bytes or 0) // 1024**2} MB that this server accepts "
            "of its content type (files in multipart/form-data: MAX_UPLOAD_MB)."
        )
    return (
        f"The form has too many or too large fields: at most {request.max_form_parts} parts, and "
        f"{request.max_form_memory_size} bytes in a text field. Send the picture as a part with "
        "a filename."
    )


def first_message(messages: Any) -> str:
    """Return "field: message" for the first leaf of nested field errors, without what is too long."""
    return _first_leaf(messages)[: 2 * SHOWN_CHARACTERS]


def _first_leaf(messages: Any, path: str = "") -> str:
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            return _first_leaf(inner, path if name == "_schema" else f"{path}{name}.")
    if isinstance(messages, list) and messages:
        return _first_leaf(messages[0], path)
    return f"{path.rstrip('.')}: {messages}" if path else str(messages)


_LOCATIONS = frozenset({"json", "query", "multipart", "form", "files", "headers", "json_or_form"})


def _without_location(messages: Mapping[str, Any]) -> Mapping[str, Any]:
    """Drop webargs' outer level, which names where the fields were sent."""
    if len(messages) == 1:
        (location, inner), *_ = messages.items()
        if location in _LOCATIONS and isinstance(inner, Mapping):
            return inner
    return messages
