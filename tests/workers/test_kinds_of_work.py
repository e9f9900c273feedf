"""A kind of job that can be queued can be rung for and worked on."""

from __future__ import annotations

from dramatiq.brokers.stub import StubBroker

from mirada.jobs.ledger import KINDS
from mirada.runtime import Runtime
from workers import actors
from workers.kinds import WORK
from workers.runner import JobRunner


def test_every_kind_has_its_work_and_its_actor(runtime: Runtime) -> None:
    broker = StubBroker(middleware=[])
    runner = JobRunner(runtime)
    actors.declare(broker, runner)
    runner.stop(0)

    assert set(WORK) == broker.get_declared_actors() == set(KINDS)
