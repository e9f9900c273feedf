"""The product's application for tests, whose OpenAPI document a process builds once."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import patch

from flask import Flask
from flask_smorest import Blueprint

import webapp
from mirada.runtime import Runtime
from webapp.http import docs

_lock = threading.Lock()
_document: bytes | None = None


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
            return app
        runtime.remembered("openapi", lambda: _document)
        with patch.object(Blueprint, "register_views_in_doc", _describe_nothing):
            return webapp.create_app(runtime)


def _describe_nothing(blueprint: Blueprint, *of_api: Any, **of_blueprint: Any) -> None:
    """Stand where a blueprint's operations would be described."""
