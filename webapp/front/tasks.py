"""What the lane does with a connection: take in a large body, send what waits, and say goodbye."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable

from webapp.front.outbox import Outbox
from webapp.front.receiving import Receiving
from webapp.front.refused import Refused

RECV_BYTES = 256 * 1024
STALLED_S = 20.0
"""How long a client may take nothing of a reply that waits for it."""
SEND_GRACE_S = 30.0
MIN_BYTES_PER_S = 500.0
"""Below this rate a reply is given up after its grace; as for bodies that come in."""
GOODBYE_S = 5.0
GOODBYE_BYTES = 256 * 1024**2

Ended = Callable[[bool], None]
"""Told whether all is done; from the lane's thread."""


class TakeIn:
    """Receives the rest of a request."""

    events = selectors.EVENT_READ

    def __init__(
        self, raw: socket.socket, receiving: Receiving, ended: Callable[[Refused | None], None]
    ) -> None:
        """Go on with a request whose head is here; `ended` is told why it is refused, if it is."""
        self.raw = raw
        self._receiving = receiving
        self._ended = ended
        self._refused: Refused | None = None

    def step(self) -> bool:
        """Receive once; return whether the request is whole, or refused."""
        data = self.raw.recv(RECV_BYTES)
        try:
            if not data:
                raise ended_early()
            self._receiving.feed(data, time.monotonic())
        except Refused as refused:
            self._refused = refused
            return True
        return self._receiving.is_whole

    def is_late(self, now_s: float) -> bool:
        """Return whether the body comes too slowly."""
        return self._receiving.is_late(now_s)

    def hurry(self, until_s: float) -> None:
        """End by then."""
        self._receiving.hurry(until_s)

    def end(self, *, is_done: bool) -> None:
        """Tell."""
        self._ended(self._refused if is_done else too_slow())


class Send:
    """Sends what waits of a reply."""

    events = selectors.EVENT_WRITE

    def __init__(self, raw: socket.socket, outbox: Outbox, ended: Ended) -> None:
        """Empty an outbox."""
        self.raw = raw
        self._outbox = outbox
        self._ended = ended
        self._began_s = self._moved_s = time.monotonic()
        self._until_s = float("inf")

    def step(self) -> bool:
        """Send some; return whether nothing waits any more."""
        is_done = self._outbox.send_waiting()
        self._moved_s = time.monotonic()
        return is_done

    def is_late(self, now_s: float) -> bool:
        """Return whether the client takes nothing, or too little."""
        earned_s = self._outbox.sent_late_bytes / MIN_BYTES_PER_S
        until_s = min(
            self._moved_s + STALLED_S, self._began_s + SEND_GRACE_S + earned_s, self._until_s
        )
        return now_s > until_s

    def hurry(self, until_s: float) -> None:
        """End by then."""
        self._until_s = until_s

    def end(self, *, is_done: bool) -> None:
        """Tell."""
        self._ended(is_done)


class Goodbye:
    """Waits until the client has read the last reply and closes, and throws away what it still sends.

    Closing at once would reset the connection, and the client would never read the reply (RFC 9112,
    9.6): Python's clients, for one, report a broken pipe instead of the 413 that would help.
    """

    events = selectors.EVENT_READ

    def __init__(self, raw: socket.socket, ended: Ended) -> None:
        """Begin; nothing more will be sent."""
        self.raw = raw
        self._ended = ended
        self._left_bytes = GOODBYE_BYTES
        self._until_s = time.monotonic() + GOODBYE_S

    def step(self) -> bool:
        """Throw some away; return whether the client has closed, or sent too much."""
        data = self.raw.recv(RECV_BYTES)
        self._left_bytes -= len(data)
        return not data or self._left_bytes < 0

    def is_late(self, now_s: float) -> bool:
        """Return whether it takes too long."""
        return now_s > self._until_s

    def hurry(self, until_s: float) -> None:
        """End by then."""
        self._until_s = min(self._until_s, until_s)

    def end(self, *, is_done: bool) -> None:
        """Tell."""
        self._ended(is_done)


def ended_early() -> Refused:
    """Return what a client is told that stopped in the middle of its request."""
    return Refused(
        400,
        "The body ended before the length that the request gave. Nothing was done; send it anew.",
    )


def too_slow() -> Refused:
    """Return what a client is told whose request does not arrive."""
    return Refused(
        408,
        "The request did not arrive in time: its head has 10 s, its body 10 s and as long as 500 "
        "bytes a second need, without a pause of over 30 s. Nothing was done; send it anew.",
    )
