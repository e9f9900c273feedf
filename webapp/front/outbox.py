"""Replies on their way out: what the client does not take at once waits outside the request's thread."""

from __future__ import annotations

import os
import select
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from webapp.front.bodies import Budget, Spool
from webapp.front.refused import Refused

PIECE_BYTES = 256 * 1024
GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL | select.POLLRDHUP
EAGER_WAIT_S = 10.0
"""How long a request thread waits for a slow client where the rest of a reply has no room."""


class _Bytes:
    """Bytes that wait: written to until the first of them is sent."""

    def __init__(self, budget: Budget) -> None:
        self._spool = Spool(budget)
        self._piece: memoryview | None = None
        self.sent_bytes = 0

    @property
    def takes_more(self) -> bool:
        """Whether `write` may still be called."""
        return self._piece is None

    def write(self, data: bytes) -> None:
        """Add bytes. Raises Refused when there is no room."""
        self._spool.write(data)

    def send(self, raw: socket.socket) -> bool:
        """Send some; return whether all is sent. Raises BlockingIOError, OSError."""
        if self._piece is None:
            self._spool.rewind()
        if not self._piece:
            self._piece = memoryview(self._spool.read(PIECE_BYTES))
        if not self._piece:
            return True
        sent = raw.send(self._piece)
        self.sent_bytes += sent
        self._piece = self._piece[sent:]
        return False

    def close(self) -> None:
        self._spool.close()


class _File:
    """A part of a file that waits."""

    def __init__(self, descriptor: int, offset: int, byte_count: int) -> None:
        # The view closes its own file as soon as its thread is done.
        self._descriptor = os.dup(descriptor)
        self._offset = offset
        self._left = byte_count
        self.sent_bytes = 0

    def send(self, raw: socket.socket) -> bool:
        """Send some; return whether all is sent. Raises BlockingIOError, OSError."""
        sent = os.sendfile(
            raw.fileno(), self._descriptor, self._offset, min(self._left, PIECE_BYTES)
        )
        if self._left and not sent:
            raise OSError("the file is shorter than the reply said")
        self.sent_bytes += sent
        self._offset += sent
        self._left -= sent
        return self._left == 0

    def close(self) -> None:
        os.close(self._descriptor)


class Outbox:
    """A connection as Gunicorn writes a reply to it; writing never waits for the client.

    First the request's thread owns it, then whoever empties it: never two at a time.
    """

    def __init__(
        self, raw: socket.socket, budget: Budget, is_alive: Callable[[], bool] = lambda: True
    ) -> None:
        """Wrap a socket that does not block; `is_alive` says that the server is not about to end."""
        self._raw = raw
        self._is_alive = is_alive
        self._budget = budget
        self._waiting: deque[_Bytes | _File] = deque()
        self.is_broken = False
        self.sent_late_bytes = 0
        """How many bytes left only after they had waited."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def is_gone(self) -> bool:
        """Return whether a stream need not go on: the client has hung up, or the server is stopping.

        It costs a few system calls and waits for nothing.
        """
        if not self._is_alive():
            return True
        poll = select.poll()
        try:
            poll.register(self._raw, select.POLLRDHUP)
            return any(event & GONE for _, event in poll.poll(0))
        except (OSError, ValueError):
            return True

    def send_waiting(self) -> bool:
        """Send what the client takes now, and return whether nothing waits any more. Raises OSError."""
        with suppress(BlockingIOError):
            for _ in range(8):
                if not self._waiting:
                    break
                first = self._waiting[0]
                before = first.sent_bytes
                is_over = first.send(self._raw)
                self.sent_late_bytes += first.sent_bytes - before
                if is_over:
                    self._waiting.popleft().close()
        return not self._waiting

    def sendall(self, data: bytes) -> None:
        """Send, and keep what the client does not take. Raises OSError once it has hung up."""
        self._require_whole()
        view = memoryview(data)
        if self.send_waiting():
            with suppress(BlockingIOError):
                while view:
                    view = view[self._raw.send(view) :]
        if view:
            self._keep(bytes(view))

    def _keep(self, data: bytes) -> None:
        last = self._waiting[-1] if self._waiting else None
        if not (isinstance(last, _Bytes) and last.takes_more):
            last = _Bytes(self._budget)
            self._waiting.append(last)
        try:
            last.write(data)
        except Refused:
            self._send_waiting_for(data)

    def _send_waiting_for(self, data: bytes) -> None:
        """Send with the patience of a thread, because there is no room to keep the bytes."""
        view = memoryview(data)
        poll = select.poll()
        poll.register(self._raw, select.POLLOUT)
        while view:
            if not poll.poll(EAGER_WAIT_S * 1000):
                self.shutdown(socket.SHUT_WR)
                raise BrokenPipeError("the client takes nothing")
            if self.send_waiting():
                with suppress(BlockingIOError):
                    view = view[self._raw.send(view) :]

    def sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        """Send a part of a file, and keep the rest with a descriptor of its own."""
        self._require_whole()
        if count is None:
            count = os.fstat(file.fileno()).st_size - offset
        part = _File(file.fileno(), offset, count)
        self._waiting.append(part)
        self.send_waiting()
        return count

    def send(self, data: bytes) -> int:
        """Send as `sendall` does, and return the number of bytes."""
        self.sendall(data)
        return len(data)

    def _require_whole(self) -> None:
        if self.is_broken:
            raise BrokenPipeError("the reply was given up")

    def shutdown(self, _how: int) -> None:
        """Give the reply up: Gunicorn calls this when a view fails in the middle of one."""
        self.is_broken = True
        self.drop()

    def settimeout(self, _seconds: float | None) -> None:
        """Do nothing: writing never waits."""

    def gettimeout(self) -> float:
        """Return 0: writing never waits."""
        return 0.0

    def recv(self, _most_bytes: int) -> bytes:
        """Return b"": whoever asks wants to see the end."""
        return b""

    def drop(self) -> None:
        """Forget what waits."""
        while self._waiting:
            self._waiting.popleft().close()

    def close(self) -> None:
        """Do nothing: the worker closes the connection."""

    def __getattr__(self, name: str) -> Any:
        """Return what reads only, such as `getsockname`, from the socket itself."""
        return getattr(self._raw, name)
