"""The doorbells that reach workers: through Redis, or in this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import redis

from mirada.runtime import Runtime
from workers import broker

logger = logging.getLogger(__name__)

LOG_EVERY_S = 60.0
RING_TIMEOUT_S = 1.0
"""An upload must not hang on Redis."""
SILENT_AFTER_FAILURE_S = 2.0
"""While Redis hangs, a bulk upload pays the time-out once in a while and not once per picture."""


class RedisDoorbell:
    """Sends messages through Redis, which it waits for RING_TIMEOUT_S at most. Thread-safe."""

    def __init__(self, redis_url: str) -> None:
        """Prepare; connects to nothing before the first message."""
        self._broker = broker.make_broker(redis_url, RING_TIMEOUT_S)
        self._silent_until = 0.0
        self._logged_at = float("-inf")

    def ring(self, job_id: int, kind: str) -> bool:
        """See `Doorbell.ring`."""
        if time.monotonic() < self._silent_until:
            return False
        try:
            self._broker.enqueue(broker.message(job_id, kind))
        except (redis.RedisError, OSError) as error:
            now = time.monotonic()
            self._silent_until = now + SILENT_AFTER_FAILURE_S
            if now - self._logged_at >= LOG_EVERY_S:
                self._logged_at = now
                logger.warning(
                    "Redis cannot be reached (%s). Jobs are safe in the database and begin when it "
                    "is back; check REDIS_URL if it stays away.",
                    error,
                )
            return False
        return True

    def waiting(self) -> int:
        """Return how many messages no worker has fetched. Raises redis.RedisError, OSError."""
        return broker.waiting_messages(self._broker)

    def close(self) -> None:
        """Close the connections to Redis."""
        self._broker.client.close()


class InProcessDoorbell:
    """Wakes the threads of this process that look for due jobs."""

    def __init__(self, wake: Callable[[str], None]) -> None:
        """Keep the function that wakes them for a kind; it must be thread-safe and quick."""
        self._wake = wake

    def ring(self, job_id: int, kind: str) -> bool:
        """Wake them."""
        self._wake(kind)
        return True

    def waiting(self) -> int | None:
        """Return None: there is no queue."""
        return None


def attach(runtime: Runtime) -> None:
    """Give a runtime the doorbell of its REDIS_URL; without the setting it keeps the one it has."""
    if runtime.settings.redis_url is not None:
        runtime.doorbell = RedisDoorbell(runtime.settings.redis_url.get_secret_value())
