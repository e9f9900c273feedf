"""The web application: HTTP in, use cases called, HTTP out."""

from __future__ import annotations

import threading

from flask import Flask

from mirada.runtime import Runtime


def create_app(runtime: Runtime) -> Flask:
    """Return the application over a runtime; starts no thread and opens no connection.

    Args:
        runtime: what every request works with; `app.extensions["mirada_runtime"]`.
    """
    from mirada.health.probes import Health
    from webapp import api, cli, compat
    from webapp.api import metrics
    from webapp.callers import auth
    from webapp.http import docs, errors, headers, paths, tracing, uploads
    from webapp.http.rest import MiradaApi
    from workers import doorbell

    # /static belongs to the stored images of a system we replace, so our own files are /assets.
    doorbell.attach(runtime)
    app = Flask(__name__, static_url_path="/assets")
    app.extensions["mirada_runtime"] = runtime
    app.extensions["mirada_health"] = Health(runtime)
    # A stream holds a server thread; half of them stay free for everybody else.
    streams = max(1, runtime.settings.web_threads // 2)
    app.extensions["mirada_event_streams"] = threading.BoundedSemaphore(streams)
    app.json.sort_keys = False  # type: ignore[attr-defined]

    paths.register(app)
    tracing.register(app)
    metrics.register(app, runtime)
    headers.register(app, runtime.settings)
    uploads.register(app)
    auth.register(app)
    rest = MiradaApi(app)
    errors.register(app)
    api.register(rest)
    compat.register(rest)
    rest.register_blueprint(metrics.blueprint)
    app.register_blueprint(docs.blueprint)
    app.extensions["mirada_openapi"] = docs.freeze(rest)
    cli.register(app)
    return app
