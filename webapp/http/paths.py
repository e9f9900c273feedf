"""Paths: the prefix of a proxy, ids, and doubled or trailing slashes, which are not redirected."""

from __future__ import annotations

import re
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, current_app
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter, IntegerConverter, Map

from mirada.kernel.external_ids import MAX_EXTERNAL_ID_CHARACTERS

_SLASHES = re.compile(r"/{2,}")


MAX_ID = 2**63 - 1
"""What a BIGINT holds; a larger number would be an error of the driver."""


PREFIXES = ("/api/v1", "/api", "/v1")
"""What clients put before a route that has none, or leave out."""
OTHER_NAMES = {
    "/healthz": "/health",
    "/ping": "/livez",
    "/swagger": "/docs",
    "/swagger.json": "/openapi.json",
    "/upload": "/api/v1/images",
    "/embed": "/embed-image",
    "/similar": "/search-similar-images",
}


def near_route(path: str, method: str) -> str | None:
    """Return the path that a client probably meant by one that has no route; None where none is near.

    Args:
        path: as it was asked for.
        method: which the other path must take.
    """
    adapter = current_app.url_map.bind("")
    plain = path.lower().replace("_", "-").removesuffix(".json")
    bare = next(
        (plain.removeprefix(each) for each in PREFIXES if plain.startswith(f"{each}/")), plain
    )
    meant = [path.lower(), plain, bare, *(each + bare for each in PREFIXES)]
    meant = [*(OTHER_NAMES[each] for each in (path.lower(), bare) if each in OTHER_NAMES), *meant]
    for candidate in meant:
        if candidate != path and method in adapter.allowed_methods(candidate):
            return candidate
    return None


class IdConverter(IntegerConverter):
    """An id of the database; a larger number is 404, whichever methods the path has.

    It has one spelling: without leading zeros, and in no other alphabet's digits.
    """

    regex = "0|[1-9][0-9]*"

    def __init__(self, map: Map) -> None:
        """Prepare the converter of one rule."""
        super().__init__(map, max=MAX_ID)

    def to_python(self, value: str) -> int:
        """Return the id. Raises NotFound, where Werkzeug would look for another rule and say 405."""
        try:
            return int(super().to_python(value))
        except ValueError as error:
            raise NotFound from error


class ExternalIdConverter(BaseConverter):
    """The name by which a client asks for an image: our id, or that of the system it came from."""

    regex = f"[^/]{{1,{MAX_EXTERNAL_ID_CHARACTERS}}}"
    # Werkzeug takes the slash in it for one that it matches, and would prefer this to `id`.
    part_isolating = True


class PlainPaths:
    """WSGI middleware: takes the prefix off, collapses slashes and drops the last one before routing.

    Werkzeug can answer both spellings, but for one of them it says 404 where 405 is due. It
    redirects doubled slashes, and clients then come back without the body that they sent.
    """

    def __init__(self, inner: WSGIApplication, prefix: str = "") -> None:
        """Wrap an application.

        Args:
            inner: the application.
            prefix: path below which a proxy shows the server, "" for none. Requests may bear it or
                not, and every address in a reply begins with it.
        """
        self._inner = inner
        self._prefix = prefix

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request on under its plain path."""
        path = _SLASHES.sub("/", environ.get("PATH_INFO", "")).rstrip("/")
        if self._prefix and f"{path}/".startswith(f"{self._prefix}/"):
            path = path[len(self._prefix) :]
        environ["PATH_INFO"] = path or "/"
        # A header of this name, which Gunicorn takes from a local proxy, is nobody's to choose.
        environ["SCRIPT_NAME"] = self._prefix
        # No route speaks another protocol, and a server may ignore the wish (RFC 9110, 7.8). For a
        # WebSocket Werkzeug would say 400 on every address.
        environ.pop("HTTP_UPGRADE", None)
        return self._inner(environ, start_response)


def register(app: Flask, prefix: str = "") -> None:
    """Wrap the app, whose rules have no trailing slash, and add the converters `id` and `external`.

    Args:
        app: before its routes are added.
        prefix: path below which a proxy shows the server, "" for none.
    """
    app.url_map.converters["id"] = IdConverter
    app.url_map.converters["external"] = ExternalIdConverter
    app.url_map.merge_slashes = False
    app.wsgi_app = PlainPaths(app.wsgi_app, prefix)  # type: ignore[method-assign]
