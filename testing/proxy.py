"""A loopback TCP proxy that a test can cut, so that a dependency is down without being stopped."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Forwards to a port while up; while down it refuses new connections and resets old ones."""

    def __init__(self, target_port: int, *, up: bool = True) -> None:
        self._target = ("127.0.0.1", target_port)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._moves = threading.Event()
        self._moves.set()
        if up:
            self.up()

    @property
    def is_up(self) -> bool:
        return self._listener is not None

    def up(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def down(self) -> None:
        if self._listener is not None:
            # close() alone leaves a blocked accept(), and with it the open port.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Accept and forward nothing while the block runs, as a server that hangs."""
        self._moves.clear()
        try:
            yield
        finally:
            self._moves.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                client.close()
                continue
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with self._lock:
            self._open |= {client, server}
        other = {client: server, server: client}
        try:
            with selectors.DefaultSelector() as selector, client, server:
                selector.register(client, selectors.EVENT_READ)
                selector.register(server, selectors.EVENT_READ)
                while True:
                    events = selector.select()
                    self._moves.wait()
                    for key, _ in events:
                        end = key.fileobj
                        assert isinstance(end, socket.socket)
                        chunk = end.recv(65536)
                        if not chunk:
                            return
                        other[end].sendall(chunk)
        except OSError:
            return
        finally:
            with self._lock:
                self._open -= {client, server}


@contextmanager
def proxied(target_port: int, *, up: bool = True) -> Iterator[Proxy]:
    proxy = Proxy(target_port, up=up)
    try:
        yield proxy
    finally:
        proxy.down()
