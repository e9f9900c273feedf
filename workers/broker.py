"""Dramatiq on Redis, set up as a doorbell: no retries, no delays, no results. Opens nothing on import."""

from __future__ import annotations

from collections.abc import Callable

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.runner import JobRunner

QUEUE = "jobs"
NAMESPACE = "mirada"
HEARTBEAT_TIMEOUT_MS = 15_000
MAINTENANCE_CHANCE = 100_000
"""Of a million commands. With the default of 1,000 a killed worker's messages came back after 327 s, with
these two after 24 s (research, reliability 1.1)."""
WORKER_TIMEOUT_MS = 100
"""How often an idle worker looks. The default second made a job wait 610 ms, and 50 ms made it wait 36
(research, performance 5) but kept 4 % of a core busy with looking."""
WORKER_SOCKET_TIMEOUT_S = 5.0


def make_broker(redis_url: str, socket_timeout_s: float) -> RedisBroker:
    """Return a broker that connects when it is first used.

    It has no middleware: the ledger alone decides what is retried, delayed, interrupted or expired.
    Dramatiq's own retries would be lost when Redis is down just then.
    """
    client = redis.Redis.from_url(
        redis_url,
        socket_timeout=socket_timeout_s,
        socket_connect_timeout=socket_timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    return RedisBroker(
        client=client,
        namespace=NAMESPACE,
        middleware=[],
        heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
        maintenance_chance=MAINTENANCE_CHANCE,
    )


def message(job_id: int, kind: str) -> dramatiq.Message[None]:
    """Return the message that says: this job is due. Running it twice changes nothing."""
    return dramatiq.Message(
        queue_name=QUEUE, actor_name=kind, args=(job_id,), kwargs={}, options={}
    )


def waiting_messages(broker: RedisBroker) -> int:
    """Return how many messages no worker has fetched yet. Raises redis.RedisError."""
    return int(broker.client.llen(f"{NAMESPACE}:{QUEUE}"))


def declare(broker: dramatiq.Broker, runner: JobRunner) -> None:
    """Register an actor with the broker for each kind that the runner knows."""

    def answering(kind: str) -> Callable[[int], None]:
        def run(job_id: int) -> None:
            # Returns nothing: Dramatiq warns of every result that no middleware takes.
            runner.answer(job_id, kind)

        return run

    for name in runner.kinds:
        dramatiq.actor(answering(name), actor_name=name, queue_name=QUEUE, broker=broker)
