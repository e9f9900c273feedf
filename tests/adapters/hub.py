"""A loopback server that speaks the weights hub's protocol, and the places models are fetched to."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = (".safetensors", ".bin")
Repositories = dict[str, dict[str, Path]]


@dataclass
class Hub:
    """What a running hub was asked, and how it behaves.

    Attributes:
        endpoint: what HF_ENDPOINT must say.
        requests: "METHOD path" of everything asked so far.
        cuts: how many of the next downloads break off half-way.
    """

    endpoint: str = ""
    requests: list[str] = field(default_factory=list)
    cuts: int = 0


@contextmanager
def hub_serving(repositories: Repositories) -> Iterator[Hub]:
    """Serve files by repository and name; weights lie behind a redirect to another host, as there."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            if self.path == "/":
                self._send(200, b"a hub")
                return
            content = self._content()
            if content is None:
                self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            if self.path.startswith("/cdn/"):
                self._send_part(content, etag)
            elif self.path.endswith(WEIGHTS):
                place = f"http://localhost:{server.server_port}/cdn{self.path}"
                linked = {"X-Linked-Size": str(len(content)), "X-Linked-ETag": etag}
                self._send(302, b"", {"Location": place, "X-Repo-Commit": COMMIT, **linked})
            else:
                self._send(200, content, {"X-Repo-Commit": COMMIT, "ETag": etag})

        def _content(self) -> bytes | None:
            path = self.path.removeprefix("/cdn").removeprefix("/")
            repository, found, rest = path.partition("/resolve/")
            file = repositories.get(repository, {}).get(rest.partition("/")[2]) if found else None
            return None if file is None else file.read_bytes()

        def _send_part(self, content: bytes, etag: str) -> None:
            asked = self.headers.get("Range", "")
            start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
            headers = {"ETag": etag, "Accept-Ranges": "bytes"}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._send(206 if start else 200, content[start:], headers)

        def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if self.path.startswith("/cdn/") and hub.cuts > 0:
                hub.cuts -= 1
                body = body[: len(body) // 2]
                self.close_connection = True
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
