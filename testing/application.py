"""The product's application for tests, whose OpenAPI document a process builds once.

Each reply of these applications is held against the document: a status that its operation does not
name is kept in `undescribed`, and fails the test that is running.
"""

from __future__ import annotations

import json
import re
import threading
from typing import Any
from unittest.mock import patch

from flask import Flask, Response, request
from flask_smorest import Blueprint

import webapp
from mirada.runtime import Runtime
from webapp.http import docs

_lock = threading.Lock()
_document: bytes | None = None
_statuses: dict[tuple[str, str], set[int]] = {}
undescribed: set[str] = set()


def create_app(runtime: Runtime) -> Flask:
    """Return `webapp.create_app(runtime)` in a third of its time.

    The document follows from the code alone, and describing every operation is most of the work:
    the second application of a process gets the document of the first.
    """
    global _document
    with _lock:
        if _document is None:
            app = webapp.create_app(runtime)
            with app.app_context():
                _document = docs._document()
            _read_statuses(_document)
            return _watched(app)
        runtime.remembered("openapi", lambda: _document)
        with patch.object(Blueprint, "register_views_in_doc", _describe_nothing):
            return _watched(webapp.create_app(runtime))


def _describe_nothing(blueprint: Blueprint, *of_api: Any, **of_blueprint: Any) -> None:
    """Stand where a blueprint's operations would be described."""


def _read_statuses(document: bytes) -> None:
    for path, item in json.loads(document)["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                _statuses[path, method.upper()] = {int(each) for each in operation["responses"]}


def _watched(app: Flask) -> Flask:
    # The first to be asked is the last that was added, so this one sees the reply as it is sent.
    app.after_request_funcs.setdefault(None, []).insert(0, _hold_against_document)
    return app


def _hold_against_document(response: Response) -> Response:
    if request.url_rule is not None:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", request.url_rule.rule)
        method = "GET" if request.method == "HEAD" else request.method
        described = _statuses.get((path, method))
        if described is not None and response.status_code not in described:
            undescribed.add(f"{method} {path} answered {response.status_code}")
    return response
