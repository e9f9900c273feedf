"""`make demo` beside a server that has not started yet."""

from __future__ import annotations

import json
import runpy
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from testing.deployment import ROOT, free_port

DEMO = runpy.run_path(str(ROOT / "dev" / "demo.py"))


class Starting(BaseHTTPRequestHandler):
    """A server whose database is not there at the first call."""

    def do_GET(self) -> None:
        self.server.calls += 1  # type: ignore[attr-defined]
        is_up = self.server.calls > 1  # type: ignore[attr-defined]
        body = b'{"results": []}' if is_up else b'{"detail": "The database has no tables yet."}'
        self.send_response(200 if is_up else self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def answering(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Yield the address of a server on loopback."""
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def wait_for(url: str, patience_s: float) -> None:
    function = DEMO["wait_for"]
    function.__globals__["START_PATIENCE_S"] = patience_s
    function(DEMO["Server"](url, None))


@pytest.fixture
def later() -> Iterator[Any]:
    """Return a function that starts a server after a while, and returns its address."""
    servers: list[HTTPServer] = []

    def start(after_s: float, status: int) -> str:
        port = free_port()

        def serve() -> None:
            server = HTTPServer(("127.0.0.1", port), Starting)
            server.calls, server.status = 0, status  # type: ignore[attr-defined]
            servers.append(server)
            server.serve_forever()

        threading.Timer(after_s, serve).start()
        return f"http://127.0.0.1:{port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_it_says_what_it_waits_for_and_goes_on_by_itself(
    later: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    url = later(0.5, 503)
    wait_for(url, 20)

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"Nobody answers at {url} yet; trying again for 20 s.")
    assert "make run" in line


def test_a_server_that_is_busy_is_asked_again_with_the_same_key() -> None:
    class Busy(BaseHTTPRequestHandler):
        keys: ClassVar[list[str | None]] = []

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.keys.append(self.headers["Idempotency-Key"])
            body = b'{"detail": "The database is busy writing; try again shortly."}'
            self.send_response(503 if len(self.keys) == 1 else 201)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with answering(Busy) as url:
        DEMO["Server"](url, None).upload(next((ROOT / "demo" / "stickers").iterdir()), "a sticker")

    first, again = Busy.keys
    assert first
    assert first == again


def test_it_says_what_the_server_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    class Loading(BaseHTTPRequestHandler):
        asked = 0

        def do_GET(self) -> None:
            is_health = self.path == "/health"
            status = "READY" if Loading.asked else "PENDING"
            Loading.asked += is_health
            body = json.dumps(
                {"checks": {"encoder": {"ok": False, "detail": "its weights are downloaded"}}}
                if is_health
                else {"results": [{"filename": "a.png", "status": status}], "next": None}
            ).encode()
            self.send_response(503 if is_health else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    wait = DEMO["wait_until_embedded"]
    wait.__globals__["SILENCE_S"] = 0
    with answering(Loading) as url:
        wait(DEMO["Server"](url, None), {"a.png"})

    assert "waiting for encoder: its weights are downloaded" in capsys.readouterr().out


def test_it_gives_up_when_nobody_comes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="refused"):
        wait_for(f"http://127.0.0.1:{free_port()}", 0.1)


def test_what_waiting_cannot_mend_is_said_at_once(later: Any) -> None:
    url = later(0, 401)
    with pytest.raises(DEMO["Refused"], match="401"):
        wait_for(url, 20)


def demo(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.delenv("MIRADA_KEY", raising=False)
    monkeypatch.setattr(sys, "argv", ["demo.py", *arguments])
    return int(DEMO["main"]())


def replying(
    status: int, body: bytes, content_type: str = "application/json"
) -> type[BaseHTTPRequestHandler]:
    """Return a server that says the same to everything."""

    class Always(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Always


def test_without_a_key_it_says_how_to_get_one_and_what_to_type_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(replying(401, b'{"detail": "Send a key."}')) as url:
        assert demo(monkeypatch, "--url", url) == 1
        said = capsys.readouterr().out
        assert "bin/mirada users create NAME --admin" in said
        assert f'make demo ARGS="--url {url} --key KEY"' in said
        assert demo(monkeypatch, "--url", url, "--key", "mrd_wrong") == 1
        assert "does not take this key" in capsys.readouterr().out
        # The server of the settings is named by its port.
        port = url.rpartition(":")[2]
        monkeypatch.setenv("PORT", port)
        assert demo(monkeypatch) == 1
        assert f'PORT={port} make demo ARGS="--key KEY"' in capsys.readouterr().out


def test_an_address_without_a_scheme_is_http(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(replying(401, b'{"detail": "Send a key."}')) as url:
        assert demo(monkeypatch, "--url", url.removeprefix("http://")) == 1
    assert "The server refused: 401: Send a key." in capsys.readouterr().out


@pytest.mark.parametrize("address", ["ftp://127.0.0.1", "127.0.0.1:eighty", "http://"])
def test_what_is_no_address_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        demo(monkeypatch, "--url", address)
    assert ended.value.code == 2
    assert "is no address such as http://" in capsys.readouterr().err


PAGE = b"<!DOCTYPE html><html><body>hello</body></html>"


@pytest.mark.parametrize(
    ("status", "body", "content_type"),
    [
        (404, PAGE, "text/html"),
        (500, PAGE, "text/html"),
        (200, PAGE, "text/html"),
        (200, b"[]", "application/json"),
        (200, b"{}", "application/json"),
        (404, b'{"detail": "Not Found"}', "application/json"),
    ],
)
def test_a_server_that_is_not_mirada_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    body: bytes,
    content_type: str,
) -> None:
    with answering(replying(status, body, content_type)) as url:
        assert demo(monkeypatch, "--url", url) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"What answers at {url} is not Mirada")
    assert "<" not in line
