"""Paths with doubled or trailing slashes are served as the plain path, without a redirect."""

from __future__ import annotations

import re
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask

_SLASHES = re.compile(r"/{2,}")


class PlainPaths:
    """WSGI middleware: collapses slashes and drops the last one before routing sees the path.

    Werkzeug can answer both spellings, but for one of them it says 404 where 405 is due. It
    redirects doubled slashes, and clients then come back without the body that they sent.
    """

    def __init__(self, inner: WSGIApplication) -> None:
        """Wrap an application."""
        self._inner = inner

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request on under its plain path."""
        path = environ.get("PATH_INFO", "")
        environ["PATH_INFO"] = _SLASHES.sub("/", path).rstrip("/") or "/"
        return self._inner(environ, start_response)


def register(app: Flask) -> None:
    """Wrap the app; every rule is written without a trailing slash."""
    app.url_map.merge_slashes = False
    app.wsgi_app = PlainPaths(app.wsgi_app)  # type: ignore[method-assign]
