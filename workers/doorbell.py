"""Tell whoever works that a job is due. Losing a ring loses time, never work."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable

import redis

from mirada.runtime import Runtime
from workers import broker

logger = logging.getLogger(__name__)

LOG_EVERY_S = 60.0
SILENT_AFTER_FAILURE_S = 2.0
"""While Redis hangs, a bulk upload pays the time-out once in a while and not once per picture."""


class _Bell:
    """What one runtime knows about its bell."""

    def __init__(self) -> None:
        self.listener: Callable[[], None] | None = None
        self.silent_until = 0.0
        self.logged_at = float("-inf")


_bells: weakref.WeakKeyDictionary[Runtime, _Bell] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def ring(runtime: Runtime, job_id: int, kind: str) -> bool:
    """Ring for a job that is committed; never raises and never waits longer than a second or so.

    Returns:
        Whether the bell was heard as far as we know; if not, the sweeper rings again.
    """
    known = _bell(runtime)
    if known.listener is not None:
        known.listener()
        return True
    if runtime.settings.redis_url is None or time.monotonic() < known.silent_until:
        # Without Redis the rows wait for the server's own threads, which look by themselves.
        return False
    try:
        broker.ringing_broker(runtime).enqueue(broker.bell(job_id, kind))
    except (redis.RedisError, OSError) as error:
        now = time.monotonic()
        known.silent_until = now + SILENT_AFTER_FAILURE_S
        if now - known.logged_at >= LOG_EVERY_S:
            known.logged_at = now
            logger.warning(
                "Redis cannot be reached (%s). Jobs are safe in the database and begin when it is "
                "back; check REDIS_URL if it stays away.",
                error,
            )
        return False
    return True


def listen(runtime: Runtime, listener: Callable[[], None] | None) -> None:
    """Have this process's own threads told of every ring, instead of Redis; None ends that."""
    _bell(runtime).listener = listener


def _bell(runtime: Runtime) -> _Bell:
    with _lock:
        return _bells.setdefault(runtime, _Bell())
