"""The runtime of the application that serves a request."""

from __future__ import annotations

from flask import current_app

from mirada.runtime import Runtime


def current_runtime() -> Runtime:
    """Return the Runtime that `create_app` was given."""
    runtime: Runtime = current_app.extensions["mirada_runtime"]
    return runtime
