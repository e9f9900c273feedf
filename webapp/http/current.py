"""The request being served: its runtime and its id."""

from __future__ import annotations

from flask import current_app, g

from mirada.runtime import Runtime


def current_runtime() -> Runtime:
    """Return the Runtime that `create_app` was given."""
    runtime: Runtime = current_app.extensions["mirada_runtime"]
    return runtime


def request_id() -> str:
    """Return the id of the request being served."""
    return str(g.request_id)
