"""A circuit breaker: after five failures in a row it refuses requests for a while, then tries one."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mirada.kernel.errors import (
    CircuitOpen,
    GarbledReply,
    KeyRefused,
    LanguageModelRefused,
    TooManyRequests,
    Unavailable,
    UnusableReply,
)

FAILURES_ALLOWED = 5
PAUSE_S = 60.0
"""research, reliability 5: it opens after five failures in a row, and is half-open after 60 s."""
MAX_PAUSE_S = 600.0
"""Longest pause. It doubles with every failed probe; at this limit a probe is sent every ten minutes."""
MAX_REST_S = 300.0
"""Longest wait that a server's Retry-After leads to: a longer one may concern another caller."""
PROBE_S = 25.0
"""Seconds until a second probe may be sent: a request's time-out and a little more."""


@dataclass(frozen=True, slots=True)
class CircuitStatus:
    """The state of a circuit breaker.

    Attributes:
        is_open: whether requests are refused.
        reason: the message of the last failure; None while closed.
        retry_after_s: seconds until the next probe; 0 while closed.
    """

    is_open: bool
    reason: str | None
    retry_after_s: int


class CircuitBreaker:
    """A circuit breaker for requests to one server. Thread-safe; one per process.

    Closed, it admits every request. Five failures in a row open it, and so does a refused key. Five
    replies "too many requests" in a row open it too; they are counted apart from failures.

    Open, it refuses every request until the pause is over. Then it admits one request, the probe. A
    reply to the probe closes it; a failed probe opens it for twice as long.
    """

    def __init__(
        self,
        *,
        failures_allowed: int = FAILURES_ALLOWED,
        pause_s: float = PAUSE_S,
        max_pause_s: float = MAX_PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin closed.

        Args:
            failures_allowed: failures in a row that open it.
            pause_s: length of the first pause.
            max_pause_s: length of the longest pause.
            clock: returns seconds that never go back.
        """
        self._failures_allowed = failures_allowed
        self._first_pause_s = pause_s
        self._max_pause_s = max_pause_s
        self._clock = clock
        self._lock = threading.RLock()
        self.answered()  # Closed, as after a reply.

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Admit the block's one request, and report how it ended. Raises CircuitOpen."""
        self.admit()
        try:
            yield
        except BaseException as error:
            self._ended_by(error)
            raise
        self.answered()

    def answered(self) -> None:
        """Report a reply of any kind: the server works."""
        with self._lock:
            self._failures = 0
            self._waits = 0
            self._pause_s = self._first_pause_s
            self._open_until: float | None = None
            self._probe_until: float | None = None
            self._reason = ""

    def check(self) -> None:
        """Raise CircuitOpen if a request would be refused now."""
        with self._lock:
            left_s = math.ceil(self._left_s())
            if left_s > 0:
                raise CircuitOpen(
                    f"The language model is left alone for another {left_s} s. {self._reason}",
                    retry_after_s=left_s,
                )

    def admit(self) -> None:
        """Admit a request, or raise CircuitOpen. The caller then reports how the request ended."""
        with self._lock:
            self.check()
            if self._open_until is not None:
                self._probe_until = self._clock() + PROBE_S

    def failed(self, reason: str) -> None:
        """Report that the server did not reply, or replied that it has failed."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._failures_allowed:
                self._open(reason)

    def refused(self, reason: str) -> None:
        """Report that the server refused our key: every further request would be refused too."""
        with self._lock:
            self._open(reason)

    def told_to_wait(self, reason: str, wait_s: float) -> None:
        """Report that the server works and asks for fewer requests; `wait_s` is its Retry-After."""
        with self._lock:
            self._waits += 1
            if self._waits < self._failures_allowed and self._probe_until is None:
                return
            self._reason = reason
            self._probe_until = None
            self._open_until = self._clock() + min(wait_s, MAX_REST_S)

    def undecided(self) -> None:
        """Report that a request ended without telling anything about the server."""
        with self._lock:
            self._probe_until = None

    def status(self) -> CircuitStatus:
        """Return whether requests are refused now, and why."""
        with self._lock:
            left_s = self._left_s()
            if left_s <= 0:
                return CircuitStatus(False, None, 0)
            return CircuitStatus(True, self._reason, math.ceil(left_s))

    def _ended_by(self, error: BaseException) -> None:
        match error:
            case KeyRefused():
                self.refused(error.detail)
            case TooManyRequests():
                self.told_to_wait(error.detail, error.retry_after_s)
            case GarbledReply():
                self.failed(error.detail)
            case LanguageModelRefused() | UnusableReply():
                # It works; what it thought of this request says nothing about the next.
                self.answered()
            case Unavailable():
                self.failed(error.detail)
            case _:
                # Ours, not the server's: nothing was sent, or this thread is being ended.
                self.undecided()

    def _open(self, reason: str) -> None:
        now = self._clock()
        if self._probe_until is None and now < (self._open_until or now):
            # The request was sent before the breaker opened, so its failure tells nothing new.
            return
        self._reason = reason
        self._probe_until = None
        self._open_until = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, self._max_pause_s)

    def _left_s(self) -> float:
        if self._open_until is None:
            return 0.0
        now = self._clock()
        return max(self._open_until - now, (self._probe_until or now) - now, 0.0)
