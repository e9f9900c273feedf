"""Clients that are slow on purpose: they drip, or take nothing; all in one thread on loopback."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

DRIP_EVERY_S = 1.0
KINDS = ("head", "body", "json", "chunks", "reply")


@dataclass
class SlowClients:
    """Open connections that send one more byte each second, unless they only do not read."""

    sockets: list[socket.socket]
    drips: bool

    def ended(self) -> int:
        """Return how many the server has answered or closed."""
        count = 0
        for one in self.sockets:
            try:
                one.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                count += 1
            except BlockingIOError:
                pass
            except OSError:
                count += 1
        return count


def first_bytes(kind: str, key: str | None = None, path: str = "/api/v1/images") -> bytes:
    """Return what a slow client of a kind sends before it begins to drip."""
    identity = f"Authorization: Bearer {key}\r\n" if key else ""
    common = f"Host: localhost\r\n{identity}"
    heads = {
        "head": f"GET /api/v1/images HTTP/1.1\r\n{common}X-Slow: ",
        "body": f"POST /api/v1/images HTTP/1.1\r\n{common}"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 500000\r\n\r\n--b\r\n",
        "json": f"POST /api/v1/search HTTP/1.1\r\n{common}"
        "Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n{",
        "chunks": f"POST /api/v1/search HTTP/1.1\r\n{common}"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n{",
        "reply": f"GET {path} HTTP/1.1\r\n{common}\r\n",
    }
    return heads[kind].encode()


@contextmanager
def slow_clients(
    port: int, count: int, opening: Callable[[int], bytes], *, drips: bool = True
) -> Iterator[SlowClients]:
    """Yield `count` open connections to a port of this machine; `opening` is what each sends first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 512)), hard))
    clients = SlowClients([], drips)
    over = threading.Event()
    try:
        for number in range(count):
            one = socket.socket()
            # A small window, so that a reply that is not read soon waits at the server.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.settimeout(20)
            one.connect(("127.0.0.1", port))
            one.sendall(opening(number))
            clients.sockets.append(one)
        dripping = threading.Thread(target=_drip, args=(clients, over), daemon=True)
        dripping.start()
        yield clients
    finally:
        over.set()
        for one in clients.sockets:
            one.close()


def _drip(clients: SlowClients, over: threading.Event) -> None:
    while clients.drips and not over.wait(DRIP_EVERY_S):
        for one in clients.sockets:
            with suppress(OSError):
                one.send(b"1")
