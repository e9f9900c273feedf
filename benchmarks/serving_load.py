"""Clients of the serving benchmark: kept-alive connections over raw sockets, each asking when answered.

An HTTP library of Python takes as much processor time as the server it asks, on the same cores.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

END = b"\r\n\r\n"
Ask = Callable[[int], bytes]
"""Returns the bytes of the n-th request."""


@dataclass
class Answers:
    """The replies to a load of requests, and how long each took.

    Attributes:
        seconds: how long each took, in the order in which they were answered.
        wall_s: from the first request to the last reply.
        statuses: how many replies had which status.
        last: the body of the last reply.
    """

    seconds: list[float] = field(default_factory=list)
    wall_s: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    last: bytes = b""

    def percentile_ms(self, percent: float) -> float:
        """Return the time within which so many percent of the requests were answered."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1e3

    @property
    def per_second(self) -> float:
        """Requests answered in a second, of all clients together."""
        return len(self.seconds) / self.wall_s


class Client:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        """Connect."""
        self.port = port
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self.began_at_s = 0.0

    def ask(self, request: bytes) -> None:
        """Send a request."""
        self.began_at_s = time.perf_counter()
        self.sock.sendall(request)

    def receive(self) -> tuple[int, bytes] | None:
        """Take what has come; return the status and body of a reply once it is whole."""
        data = self.sock.recv(1 << 18)
        if not data:
            raise ConnectionError("The server closed the connection.")
        self._buffer += data
        head, end, body = self._buffer.partition(END)
        if not end:
            return None
        lines = head.lower().split(b"\r\n")
        (length,) = (int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        if len(body) < length:
            return None
        self._buffer = body[length:]
        return int(head[9:12]), body

    def close(self) -> None:
        """Hang up."""
        self.sock.close()


def load(port: int, ask: Ask, *, clients: int, seconds: float) -> Answers:
    """Let clients ask the server for some seconds, each again as soon as it is answered."""
    answers = Answers()
    number = 0
    with selectors.DefaultSelector() as selector:
        asking = [Client(port) for _ in range(clients)]
        began_s = time.perf_counter()
        for client in asking:
            selector.register(client.sock, selectors.EVENT_READ, client)
            client.ask(ask(number))
            number += 1
        waiting = clients
        while waiting:
            for key, _ in selector.select():
                client = key.data
                reply = client.receive()
                if reply is None:
                    continue
                now_s = time.perf_counter()
                status, answers.last = reply
                answers.statuses[status] = answers.statuses.get(status, 0) + 1
                answers.seconds.append(now_s - client.began_at_s)
                if now_s - began_s < seconds:
                    client.ask(ask(number))
                    number += 1
                else:
                    waiting -= 1
        answers.wall_s = time.perf_counter() - began_s
        for client in asking:
            client.close()
    return answers


def get(path: str, key: str) -> bytes:
    """Return the bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n\r\n".encode()


def post_json(path: str, key: str, body: object) -> bytes:
    """Return the bytes of a POST with a JSON body."""
    return _post(path, key, "application/json", json.dumps(body).encode())


def post_picture(path: str, key: str, picture: bytes, fields: Iterable[tuple[str, str]]) -> bytes:
    """Return the bytes of a POST with a picture and some fields as multipart/form-data."""
    mark = "mirada-benchmark"
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields
    ]
    parts.append(
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="q.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n".encode()
    )
    body = b"".join(parts) + picture + f"\r\n--{mark}--\r\n".encode()
    return _post(path, key, f"multipart/form-data; boundary={mark}", body)


def _post(path: str, key: str, content_type: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def in_turn(requests: Sequence[bytes]) -> Ask:
    """Return an Ask that sends these over and over."""
    return lambda number: requests[number % len(requests)]
