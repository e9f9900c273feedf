"""A circuit breaker: whoever fails five times in a row is left alone for a while, then tried once."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from mirada.kernel.errors import CircuitOpen

FAILURES_ALLOWED = 5
PAUSE_S = 60.0
"""research, reliability 5: open after five failures, half-open after 60 s."""
MAX_PAUSE_S = 600.0
"""The pause doubles with every failed probe, up to here: one wasted question in ten minutes."""
MAX_REST_S = 300.0
"""Somebody who asks for an hour's rest may mean one caller of many: it is tried again before."""
PROBE_S = 25.0
"""How long one question is waited for before another may be tried: its time-out and a little."""


@dataclass(frozen=True, slots=True)
class CircuitStatus:
    """Whether questions are sent.

    Attributes:
        is_open: they are not.
        reason: what the last failure said; None while closed.
        retry_after_s: seconds until one is tried again; 0 while closed.
    """

    is_open: bool
    reason: str | None
    retry_after_s: int


class CircuitBreaker:
    """Counts how questions to one server end. Thread-safe; one per process.

    Closed, it lets everything through. Five failures in a row, or a refused key, open it; so do five
    requests in a row to come later, which are no failures: they neither add to those nor end them.
    Open, it refuses everything until the pause is over; then it lets one question through, and the
    answer to that one closes it or opens it for twice as long.
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
            failures_allowed: so many in a row open it.
            pause_s: the first pause.
            max_pause_s: the longest.
            clock: seconds that never go back.
        """
        self._failures_allowed = failures_allowed
        self._first_pause_s = pause_s
        self._max_pause_s = max_pause_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._waits = 0
        self._pause_s = pause_s
        self._open_until: float | None = None
        self._probe_until: float | None = None
        self._reason = ""

    def check(self) -> None:
        """Raise CircuitOpen if a question would not be let through now."""
        with self._lock:
            self._refuse_if_open()

    def admit(self) -> None:
        """Let a question through, to be followed by how it ended. Raises CircuitOpen."""
        with self._lock:
            self._refuse_if_open()
            if self._open_until is not None:
                self._probe_until = self._clock() + PROBE_S

    def answered(self) -> None:
        """Note that the server works, whatever it thought of the question."""
        with self._lock:
            self._close()

    def failed(self, reason: str) -> None:
        """Note that the server did not answer, or said that it is in trouble."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._failures_allowed:
                self._open(reason)

    def refused(self, reason: str) -> None:
        """Note that the server does not take our key: no further question will fare better."""
        with self._lock:
            self._open(reason)

    def told_to_wait(self, reason: str, wait_s: float) -> None:
        """Note that the server works and wants fewer questions."""
        with self._lock:
            self._waits += 1
            if self._waits < self._failures_allowed and not self._is_probing():
                return
            self._reason = reason
            self._probe_until = None
            self._open_until = self._clock() + min(wait_s, MAX_REST_S)

    def undecided(self) -> None:
        """Note that a question ended without a word about the server."""
        with self._lock:
            self._probe_until = None

    def status(self) -> CircuitStatus:
        """Return whether questions are sent just now, and if not, why."""
        with self._lock:
            left_s = self._left_s()
            if left_s <= 0:
                return CircuitStatus(False, None, 0)
            return CircuitStatus(True, self._reason, math.ceil(left_s))

    def _close(self) -> None:
        self._failures = 0
        self._waits = 0
        self._pause_s = self._first_pause_s
        self._open_until = None
        self._probe_until = None
        self._reason = ""

    def _open(self, reason: str) -> None:
        now = self._clock()
        if self._open_until is not None and not self._is_probing() and now < self._open_until:
            # A question from before it opened: its failure is old news.
            return
        self._reason = reason
        self._probe_until = None
        self._open_until = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, self._max_pause_s)

    def _is_probing(self) -> bool:
        return self._probe_until is not None

    def _left_s(self) -> float:
        if self._open_until is None:
            return 0.0
        now = self._clock()
        return max(self._open_until - now, (self._probe_until or now) - now, 0.0)

    def _refuse_if_open(self) -> None:
        left_s = math.ceil(self._left_s())
        if left_s > 0:
            raise CircuitOpen(
                f"The language model is left alone for another {left_s} s. {self._reason}",
                retry_after_s=left_s,
            )
