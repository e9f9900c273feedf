"""One request as it comes in: its head, then its body, with a deadline for both."""

from __future__ import annotations

from collections.abc import Callable

from webapp.front.bodies import IN_MEMORY_BYTES, Budget, Chunked, Plain, Spool
from webapp.front.head import END, MAX_HEAD_BYTES, Head, parse
from webapp.front.refused import Refused

HEAD_WITHIN_S = 10.0
"""From the first byte (or the connection) to the end of the head. Nothing prolongs it."""
BODY_GRACE_S = 10.0
MIN_BYTES_PER_S = 500.0
"""Below this rate a body ends after its grace. The slowest mobile networks bring 5,000."""
MOST_AHEAD_S = 30.0
"""How long a body may pause at most, however fast it came: 50 MB that came at once would else be held,
waiting for their last byte, for a day."""
BodyLimit = Callable[[str], int]
"""The most bytes that a body of a content type may have."""


class Receiving:
    """The request that a connection is sending. Not thread-safe: one thread at a time feeds it."""

    def __init__(self, limit: BodyLimit, budget: Budget, now_s: float, idle_s: float) -> None:
        """Wait for a request.

        Args:
            limit: of bodies.
            budget: of the files of large bodies.
            now_s: monotonic time.
            idle_s: how long the first byte may take.
        """
        self._limit = limit
        self._budget = budget
        self._inbox = b""
        self._body: Plain | Chunked | None = None
        self._spool: Spool | None = None
        self._until_s = now_s + idle_s
        self._most_until_s = float("inf")
        self.head: Head | None = None
        self.has_begun = False
        self.leftover = b""
        self.is_whole = False
        self._owes_continue = False
        self.is_cut = False
        """The body is not received: it is larger than its limit, or where it ends is in doubt."""

    @property
    def needs_file(self) -> bool:
        """Whether the body may go to a file, which the thread of the connections must not wait for."""
        head = self.head
        return head is not None and (head.body_bytes is None or head.body_bytes > IN_MEMORY_BYTES)

    @property
    def given_id(self) -> str:
        """The request id that the client sent, "" for none."""
        return "" if self.head is None else self.head.request_id

    def feed(self, data: bytes, now_s: float) -> None:
        """Take bytes. Raises Refused (400, 431, 503)."""
        if data and not self.has_begun:
            self.has_begun = True
            self._until_s = now_s + HEAD_WITHIN_S
        if self.head is None:
            data = self._feed_head(data, now_s)
            if self.head is None:
                return
        if self._body is not None and not self.is_whole:
            data = self._feed_body(self._body, data, now_s)
            self.is_cut = isinstance(self._body, Chunked) and self._body.is_cut
            self.is_whole = self._body.is_whole or self.is_cut
        if self.is_whole:
            self.leftover += b"" if self.is_cut else data

    def _feed_head(self, data: bytes, now_s: float) -> bytes:
        """Return what came after the head."""
        searched = max(0, len(self._inbox) - len(END) + 1)
        self._inbox += data
        # RFC 9112, 2.2: one empty line may precede the request.
        if self._inbox.startswith(b"\r\n"):
            self._inbox, searched = self._inbox[2:], 0
        end = self._inbox.find(END, searched)
        if end < 0 and _has_bare_line_end(self._inbox):
            # Such a head never ends; Gunicorn says what is wrong with it.
            end = len(self._inbox)
        if end > MAX_HEAD_BYTES or (end < 0 and len(self._inbox) > MAX_HEAD_BYTES):
            raise Refused(431, f"The head of the request is over {MAX_HEAD_BYTES // 1024} KiB.")
        if end < 0:
            return b""
        raw, rest = self._inbox[: end + len(END)], self._inbox[end + len(END) :]
        self._inbox = b""
        self.head = parse(raw)
        self._begin_body(self.head, now_s)
        return rest

    def _feed_body(self, body: Plain | Chunked, data: bytes, now_s: float) -> bytes:
        """Return what came after the body."""
        assert self._spool is not None
        before_bytes = self._spool.byte_size
        rest = body.feed(data)
        earned_s = (self._spool.byte_size - before_bytes) / MIN_BYTES_PER_S
        self._until_s = min(self._until_s + earned_s, now_s + MOST_AHEAD_S)
        return rest

    def _begin_body(self, head: Head, now_s: float) -> None:
        most_bytes = self._limit(head.content_type)
        is_too_large = head.body_bytes is not None and head.body_bytes > most_bytes
        self.is_cut = head.is_doubtful or is_too_large
        if self.is_cut or not head.has_body:
            self.is_whole = True
            return
        self._owes_continue = head.awaits_continue
        self._until_s = now_s + BODY_GRACE_S
        self._spool = Spool(self._budget)
        if head.body_bytes is None:
            self._body = Chunked(self._spool, most_bytes)
        else:
            self._body = Plain(head.body_bytes, self._spool)

    def continuation(self) -> bytes:
        """Return "100 Continue" once, if the client waits for it before it sends the body; else b""."""
        owes, self._owes_continue = self._owes_continue, False
        return b"HTTP/1.1 100 Continue\r\n\r\n" if owes else b""

    def is_late(self, now_s: float) -> bool:
        """Return whether its time is over."""
        return now_s > min(self._until_s, self._most_until_s)

    def hurry(self, until_s: float) -> None:
        """End it at this monotonic time at the latest."""
        self._most_until_s = until_s

    def source(self) -> Source:
        """Return the whole request as Gunicorn's parser reads it. Raises Refused (503)."""
        assert self.head is not None
        assert self.is_whole
        if self._spool is not None:
            self._spool.rewind()
        return Source(self.head, self._spool)

    def close(self) -> None:
        """Let go of the body."""
        if self._spool is not None:
            self._spool.close()


class Source:
    """A whole request in the shape of a socket that Gunicorn's parser reads and never waits for."""

    def __init__(self, head: Head, spool: Spool | None) -> None:
        """Wrap a received request. A body that came in chunks is one of known length here."""
        self._spool = spool
        self._head = head.raw
        if head.body_bytes is None and not head.is_doubtful and spool is not None:
            self._head = head.with_length(spool.byte_size)

    def recv(self, most_bytes: int) -> bytes:
        """Return the next bytes, b"" at the end.

        The head is one piece whatever its size: the parser takes what it gets.
        """
        if self._head:
            head, self._head = self._head, b""
            return head
        return b"" if self._spool is None else self._spool.read(most_bytes)


def _has_bare_line_end(data: bytes) -> bool:
    return data.count(b"\n") != data.count(b"\r\n")
