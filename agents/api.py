"""Mirada's API as tools call it: one request each, with the caller's key."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

TIMEOUT_S = 60.0
MOST_BYTES = 16 * 1024 * 1024
"""Of a reply: a page of results has some kilobytes, a small WebP some more."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the server.

    Attributes:
        status: of HTTP.
        media_type: without parameters.
        body: as it came.
        etag: of what it shows, for If-Match; None where the server told none.
    """

    status: int
    media_type: str
    body: bytes
    etag: str | None = None


class Refused(Exception):
    """The server refused a request, or was not to be had; the text says why, and what to do."""


class ChangedMeanwhile(Refused):
    """Somebody changed a thing after it was read, so that nothing was written; read it again."""


class Transport(Protocol):
    """A way to the server."""

    def __call__(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Reply:
        """Send one request and return the reply. Raises Refused where none came."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server at an address, such as http://127.0.0.1:8000; no redirect is followed.

    A key goes to this address alone.
    """

    address: str

    def __call__(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Reply:
        """Send one request and return the reply. Raises Refused where none came."""
        parts = urlsplit(self.address)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        there = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        try:
            there.request(method, parts.path.rstrip("/") + path, body, dict(headers))
            reply = there.getresponse()
            content = reply.read(MOST_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Refused(
                f"Mirada does not answer at {self.address} ({error}). Start it, or name its address."
            ) from error
        finally:
            there.close()
        if len(content) > MOST_BYTES:
            raise Refused("The reply is larger than a tool takes.")
        kind_of_body = reply.headers.get_content_type()
        return Reply(reply.status, kind_of_body, content, reply.headers["ETag"])


@dataclass(frozen=True, slots=True)
class Api:
    """The API for one caller.

    Attributes:
        transport: leads to the server.
        key: the caller's; None where the server asks for none.
        address: of the server, without a slash at its end.
    """

    transport: Transport
    key: str | None
    address: str

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a GET. Raises Refused."""
        return self._json("GET", f"{path}?{urlencode(query, doseq=True)}" if query else path)

    def read(self, path: str) -> tuple[Any, str | None]:
        """Return the JSON of a GET, and its tag for `put`. Raises Refused."""
        reply = self._asked("GET", path)
        return json.loads(reply.body), reply.etag

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON of a POST. Raises Refused."""
        return self._json("POST", path, body)

    def put(self, path: str, body: Mapping[str, Any], if_match: str | None) -> Any:
        """Return the JSON of a PUT to what has this tag; None for any.

        Raises:
            ChangedMeanwhile: it has another tag by now.
            Refused: the server does not do it.
        """
        return json.loads(self._asked("PUT", path, body, if_match).body)

    def delete(self, path: str) -> None:
        """Send a DELETE. Raises Refused."""
        self._asked("DELETE", path)

    def picture(self, path: str, **query: Any) -> tuple[str, bytes]:
        """Return the media type and the bytes of a picture. Raises Refused."""
        reply = self._asked("GET", f"{path}?{urlencode(query)}")
        return reply.media_type, reply.body

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        reply = self._asked(method, path, body)
        return json.loads(reply.body) if reply.body else None

    def _asked(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        if_match: str | None = None,
    ) -> Reply:
        headers = {"Accept": "application/json, image/webp, application/problem+json"}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        if if_match is not None:
            headers["If-Match"] = if_match
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        reply = self.transport(method, path, headers, content)
        if reply.status == http.client.PRECONDITION_FAILED:
            raise ChangedMeanwhile(_why(reply))
        if reply.status >= 300:
            raise Refused(_why(reply))
        return reply


def _why(reply: Reply) -> str:
    try:
        told = json.loads(reply.body)
        return f"{told['detail']} ({told['code']}, {reply.status})"
    except (ValueError, KeyError, TypeError):
        return f"The server answered {reply.status}."
