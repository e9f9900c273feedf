"""Two circuit breakers, so that requests do not wait in turn for a database that hangs or is locked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import TimeoutError as PoolTimeout

from mirada.db import waits
from mirada.kernel.circuit import CircuitBreaker
from mirada.kernel.errors import CircuitOpen, DatabaseBusy, Deadlock, Unavailable

FAILURES_ALLOWED = 2
"""A single request may meet a lock of its own; two in a row, with no success between, are everybody's."""
PAUSE_S = 1.0
TROUBLE_S = 5.0
"""How long after a wait in vain others should not queue for threads."""
LEFT_ALONE = "The database hangs or is locked just now; try again shortly."


class Patience:
    """Two circuit breakers of a process, for reading and for writing: a backup locks writers alone.

    They count for requests only. Two waits in vain in a row open one; while it is open requests are
    refused at once, and once a second one of them is let through to see.
    """

    def __init__(self) -> None:
        """Begin with both closed."""
        self._reading, self._writing = (
            CircuitBreaker(failures_allowed=FAILURES_ALLOWED, pause_s=PAUSE_S, max_pause_s=PAUSE_S)
            for _ in range(2)
        )
        self._waited_at_s = float("-inf")

    def is_in_trouble(self) -> bool:
        """Return whether a request has waited in vain within the last seconds."""
        return time.monotonic() - self._waited_at_s < TROUBLE_S

    @contextmanager
    def guarding(self, *, writes: bool) -> Iterator[None]:
        """Let a request's block have the database, and learn from how it goes.

        Raises:
            Unavailable: the block is not run, because others, or this request, have waited in vain.
        """
        hurry = waits.hurry()
        if hurry is None or hurry.depth:
            yield
            return
        breaker = self._writing if writes else self._reading
        if hurry.has_waited:
            raise Unavailable(LEFT_ALONE, retry_after_s=waits.RETRY_AFTER_S)
        try:
            breaker.admit()
        except CircuitOpen:
            raise Unavailable(LEFT_ALONE, retry_after_s=waits.RETRY_AFTER_S) from None
        hurry.depth += 1
        try:
            yield
        except BaseException as error:
            if hurry.has_waited or _is_of_a_lock(error):
                hurry.has_waited, self._waited_at_s = True, time.monotonic()
                breaker.failed(LEFT_ALONE)
            else:
                breaker.undecided()
            raise
        else:
            breaker.answered()
        finally:
            hurry.depth -= 1


def _is_of_a_lock(error: BaseException) -> bool:
    """Return whether an error of a block comes from a wait for a lock, or for a connection."""
    if isinstance(error, PoolTimeout) or isinstance(error.__cause__, PoolTimeout):
        return True
    return isinstance(error, DatabaseBusy) and not isinstance(error, Deadlock)
