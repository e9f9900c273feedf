"""Servers on loopback that answer as no decent server does, for what calls addresses of others."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Behaviour = Callable[["Conversation"], None]


@dataclass
class Conversation:
    """One connection, of which the request was read.

    Attributes:
        request: the first line and the headers, as text.
        body: of the request.
        send: sends bytes; raises OSError once the other side has gone.
        gone: is set when the server ends.
    """

    request: str
    body: bytes
    send: Callable[[bytes], None]
    gone: threading.Event

    @property
    def path(self) -> str:
        return self.request.split(" ")[1]

    @property
    def headers(self) -> dict[str, str]:
        lines = self.request.split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    def answer(
        self, status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        said = {"Content-Length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        self.send(f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + body)


@dataclass
class OddServer:
    """A server that answers each path as it was told to.

    Attributes:
        port: on 127.0.0.1.
        paths: behaviour by path.
        heard: every request that was read, the oldest first.
    """

    port: int
    paths: dict[str, Behaviour] = field(default_factory=dict)
    heard: list[Conversation] = field(default_factory=list)
    scheme: str = "http"

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


@contextmanager
def odd_server(tls: ssl.SSLContext | None = None) -> Iterator[OddServer]:
    """Serve on a free port of 127.0.0.1 until the end; each connection has a thread."""
    gone = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = OddServer(listening.getsockname()[1], scheme="https" if tls else "http")
        threading.Thread(
            target=_accept, args=(listening, server, tls, gone), name="odd-server", daemon=True
        ).start()
        try:
            yield server
        finally:
            gone.set()
            # A listening socket that is only closed keeps its thread in accept().
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)


def _accept(
    listening: socket.socket, server: OddServer, tls: ssl.SSLContext | None, gone: threading.Event
) -> None:
    while not gone.is_set():
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        threading.Thread(
            target=_converse, args=(connection, server, tls, gone), daemon=True
        ).start()


def _converse(
    connection: socket.socket, server: OddServer, tls: ssl.SSLContext | None, gone: threading.Event
) -> None:
    with connection, suppress(OSError):
        talking = tls.wrap_socket(connection, server_side=True) if tls else connection
        with talking:
            received = b""
            while b"\r\n\r\n" not in received:
                more = talking.recv(65_536)
                if not more:
                    return
                received += more
            head, _, body = received.partition(b"\r\n\r\n")
            heard = Conversation(head.decode(), body, talking.sendall, gone)
            while len(heard.body) < int(heard.headers.get("content-length", 0)):
                heard.body += talking.recv(65_536)
            server.heard.append(heard)
            behaviour = server.paths.get(heard.path.partition("?")[0])
            if behaviour is None:
                heard.answer(404, b"nothing here")
            else:
                behaviour(heard)


def answering(body: bytes = b"", status: int = 200, **headers: str) -> Behaviour:
    """Return what answers alike each time; "_" in the names of headers stands for "-"."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda heard: heard.answer(status, body, named)


def without_end(heard: Conversation) -> None:
    """Send a body that never ends, as fast as it is read."""
    heard.send(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n")
    while not heard.gone.is_set():
        heard.send(b"\0" * 65_536)


def dripping(heard: Conversation) -> None:
    """Send a byte of a body every 20 ms, for ever."""
    heard.send(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n")
    while not heard.gone.wait(0.02):
        heard.send(b"\0")


def dripping_headers(heard: Conversation) -> None:
    """Send a byte of a header every 20 ms, for ever."""
    heard.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not heard.gone.wait(0.02):
        heard.send(b"a")


def hanging(heard: Conversation) -> None:
    """Answer nothing."""
    heard.gone.wait()
