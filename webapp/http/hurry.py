"""Requests wait for the database more briefly than background work does, and act for their callers alone."""

from __future__ import annotations

from flask import Flask

from mirada.kernel import audit
from webapp.http.current import current_runtime


def register(app: Flask) -> None:
    """Install the hooks; call it before whatever asks the database."""
    app.before_request(_begin)
    app.teardown_request(_end)


def _begin() -> None:
    audit.begin(audit.SERVER)
    current_runtime().begin_request()


def _end(_error: BaseException | None) -> None:
    current_runtime().end_request()
    audit.begin(audit.SERVER)
