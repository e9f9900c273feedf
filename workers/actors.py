"""Dramatiq's actors: one for each kind of job, which hands the job's id to the runner."""

from __future__ import annotations

import dramatiq

from workers.broker import QUEUE
from workers.runner import JobRunner


def declare(broker: dramatiq.Broker, runner: JobRunner) -> None:
    """Register an actor with the broker for each kind that the runner knows."""
    for name in runner.kinds:
        dramatiq.actor(runner.run, actor_name=name, queue_name=QUEUE, broker=broker)
