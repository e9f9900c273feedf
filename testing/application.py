"""The product's application for tests, whose OpenAPI document a process builds once.

Each reply of these applications is held against the document: a status that its operation does not
name is kept in `undescribed`, and fails the test that is running. So does the body of a reply that no
schema has made, where it is not exactly what the document says.
"""

from __future__ import annotations

import json
import re
import threading
from typing import Any
from unittest.mock import patch

from flask import Flask, Response, g, request
from flask_smorest import Blueprint
from jsonschema import Draft202012Validator
from werkzeug.routing import Rule

import webapp
from mirada.runtime import Runtime
from testing.copies import CopiesAtOnce
from webapp.http import docs
from webapp.http.document import MiradaApi

_lock = threading.Lock()
_document: bytes | None = None
_statuses: dict[tuple[str, str], set[int]] = {}
_bodies: dict[tuple[str, str], Draft202012Validator] = {}
undescribed: set[str] = set()
_rules: dict[tuple[Any, ...], Rule] = {}
_compile = Rule.compile


def create_app(runtime: Runtime) -> Flask:
    """Return `webapp.create_app(runtime)` in a fraction of its time; copies it asks for are made at once.

    The document follows from the code alone, and describing every operation is most of the work:
    the second application of a process gets the document of the first.
    """
    global _document
    runtime.doorbell = CopiesAtOnce(runtime)
    with _lock:
        if _document is None:
            app = webapp.create_app(runtime)
            with app.app_context():
                _document = docs._document()
            _read_statuses(_document)
            return _watched(app)
        runtime.remembered("openapi", lambda: _document)
        with (
            patch.object(Blueprint, "register_views_in_doc", _describe_nothing),
            patch.object(MiradaApi, "_register_responses", _describe_nothing),
            patch.object(Rule, "compile", _compile_once),
        ):
            return _watched(webapp.create_app(runtime))


def _compile_once(rule: Rule) -> None:
    """Give a rule what an earlier application's rule of the same text was compiled to.

    It follows from the text alone: all applications have the same converters, which keep nothing.
    Compiling all of them is two thirds of making an application.
    """
    defaults = frozenset((rule.defaults or {}).items())  # they become part of it
    key = rule.rule, defaults, rule.subdomain, rule.host, rule.merge_slashes, rule.map.host_matching
    first = _rules.setdefault(key, rule)
    if first is rule:
        _compile(rule)
        return
    rule._parts, rule._trace, rule._converters = first._parts, first._trace, first._converters
    rule.arguments |= first.arguments
    rule._build = first._build.__func__.__get__(rule, None)
    rule._build_unknown = first._build_unknown.__func__.__get__(rule, None)


def _describe_nothing(described: Blueprint | MiradaApi, *of_api: Any, **of_blueprint: Any) -> None:
    """Stand where a blueprint's operations, or the replies of all, would be described."""


def _read_statuses(document: bytes) -> None:
    described = json.loads(document)
    components = _closed(described["components"])
    for path, item in described["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            _statuses[path, method.upper()] = {int(each) for each in operation["responses"]}
            content = operation["responses"].get("200", {}).get("content", {})
            if "application/json" in content:
                schema = _closed(content["application/json"]["schema"])
                _bodies[path, method.upper()] = Draft202012Validator(
                    {**schema, "components": components}
                )


def _closed(schema: Any) -> Any:
    """Return a schema that permits no fields but those it names: what nobody described would be told."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(each) for name, each in schema.items()}
    if isinstance(closed.get("properties"), dict):
        closed["additionalProperties"] = False
    return closed


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
        if g.get("is_ready_reply") and response.status_code == 200:
            for error in _bodies[path, method].iter_errors(response.get_json()):
                undescribed.add(f"{method} {path}: {error.json_path}: {error.message[:200]}")
    return response
