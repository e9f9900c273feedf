"""The web application: it turns HTTP requests into calls of the core, and results into replies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask

from mirada.runtime import Runtime


class _Application(Flask):
    """Flask without coroutines: it looks at some thirty functions a request whether they are one."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself: none of ours is a coroutine."""
        return func


def create_app(runtime: Runtime) -> Flask:
    """Return the application of a runtime; it starts no thread and opens no connection.

    Args:
        runtime: of every request; see `current_runtime`.
    """
    from webapp import api, compat, pages
    from webapp.api import metrics
    from webapp.callers import auth
    from webapp.http import docs, errors, headers, hurry, json_replies, paths, tracing, uploads
    from webapp.http.document import MiradaApi
    from workers import doorbell

    # /static belongs to the stored images of a system we replace, so our own files are /assets.
    doorbell.attach(runtime)
    app = _Application(__name__, static_url_path="/assets")
    app.extensions["mirada_runtime"] = runtime
    json_replies.register(app)

    paths.register(app, runtime.settings.script_name or "")
    tracing.register(app)
    hurry.register(app)
    headers.register(app, runtime.settings)
    uploads.register(app)
    auth.register(app)
    rest = MiradaApi(app)
    errors.register(app)
    api.register(rest)
    compat.register(rest)
    rest.register_blueprint(metrics.blueprint)
    app.register_blueprint(docs.blueprint)
    pages.register(app)
    return app
