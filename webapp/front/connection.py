"""One client's connection, from its accept to its end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from webapp.front.bodies import Budget
from webapp.front.outbox import Outbox
from webapp.front.receiving import Receiving


class Connection:
    """What the worker knows of a connection; `client`, `server` and `sock` are read by Gunicorn."""

    def __init__(
        self,
        raw: socket.socket,
        client: Any,
        server: Any,
        budget: Budget,
        is_alive: Callable[[], bool],
    ) -> None:
        """Wrap an accepted socket; `is_alive` says that the worker is not about to end."""
        raw.setblocking(False)
        self.raw = raw
        self.client = client
        self.server = server
        self.sock = Outbox(raw, budget, is_alive)
        self.receiving: Receiving | None = None
        self.is_polled = False
        self.leftover = b""
        self.must_close = False
        self.given_id = ""
        self.ready_at_s = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether the client has sent nothing since its last reply."""
        return self.receiving is not None and not self.receiving.has_begun

    @property
    def is_silent(self) -> bool:
        """Whether it is idle and nothing of a request has come that the main thread has yet to read."""
        if not self.is_idle:
            return False
        try:
            return not self.raw.recv(1, socket.MSG_PEEK)
        except OSError:
            # Nothing to read, or a connection that is broken.
            return True

    def close(self) -> None:
        """Let go of everything."""
        if self.receiving is not None:
            self.receiving.close()
        self.sock.drop()
        with suppress(OSError):
            self.raw.close()


def least_missed(receiving: Iterable[Connection]) -> Connection | None:
    """Return the connection that is given up first where there are too many; None for none."""
    conns = list(receiving)
    silent = (conn for conn in conns if conn.is_silent)
    # A request that waits to be read is answered in a moment; one half received may never be whole.
    begun = (conn for conn in conns if not conn.is_idle)
    return next(silent, None) or next(begun, None) or next(iter(conns), None)
