"""A kind of job is one row: from it come its actor, its work, its retries and its place in the ledger."""

from __future__ import annotations

import time
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker

from mirada.db.models import JobState
from mirada.jobs import attempts, ledger
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy, SubjectRules
from mirada.kernel.errors import InvalidInput, Unavailable
from mirada.runtime import Runtime
from testing.worksite import Site
from workers.broker import QUEUE, declare, message
from workers.kinds import KINDS
from workers.runner import JobRunner

NAMES_IN_QUEUES = {
    "create_embeddings_task",
    "backfill_embeddings_task",
    "rebuild_index",
    "cluster_library_task",
    "expand_label_task",
    "classify_images_task",
    "caption_image_task",
    "fetch_image_task",
    "generate_image_task",
    "end_user_task",
    "deliver_webhook_task",
}
"""A running installation has jobs of these names, so none may change."""


def test_every_kind_has_its_actor_under_the_name_that_queued_jobs_carry(runtime: Runtime) -> None:
    broker = StubBroker(middleware=[])
    runner = JobRunner(runtime)
    declare(broker, runner)
    runner.stop(0)

    assert set(KINDS) == broker.get_declared_actors() >= NAMES_IN_QUEUES
    assert all(kind.name == name for name, kind in KINDS.items())


def test_a_kind_from_one_row_is_worked_retried_and_given_up(site: Site) -> None:
    done: list[int] = []
    given_up: list[tuple[int, str]] = []

    def make_coffee(runtime: Runtime, attempt: Attempt) -> None:
        cups = attempt.job.arguments["cups"]
        if cups == 0:
            raise InvalidInput("Nobody wants coffee.")
        if attempt.job.attempts == 1:
            raise Unavailable("The machine is warming up.", retry_after_s=0)
        done.append(cups)
        attempts.finish_alone(runtime, attempt)

    kind = Kind(
        "make_coffee",
        make_coffee,
        RetryPolicy(max_attempts=2, first_delay_s=0),
        subject_rules=SubjectRules(give_up=lambda _, *what: given_up.append(what)),
    )
    runner = JobRunner(site.runtime, kinds={kind.name: kind})
    broker = StubBroker(middleware=[])
    declare(broker, runner)

    def run(**fields: Any) -> JobState:
        with site.runtime.transaction() as session:
            job_id = ledger.enqueue(session, kind.name, **fields).id
        for _ in range(2):
            broker.get_actor(kind.name).fn(job_id)
            time.sleep(0.01)
        return site.job(job_id).state

    assert run(subject_id=1, arguments={"cups": 2}) == JobState.DONE
    assert run(subject_id=2, arguments={"cups": 0}) == JobState.FAILED
    runner.stop(0)
    assert (done, given_up) == ([2], [(2, "Nobody wants coffee.")])


def test_a_message_that_was_worked_off_leaves_no_warning(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[int] = []

    def make_tea(runtime: Runtime, attempt: Attempt) -> None:
        attempts.finish_alone(runtime, attempt)
        done.append(attempt.job.id)

    runner = JobRunner(site.runtime, kinds={"make_tea": Kind("make_tea", make_tea)})
    broker = StubBroker(middleware=[])
    declare(broker, runner)
    with site.runtime.transaction() as session:
        job_id = ledger.enqueue(session, "make_tea").id
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=10)
    worker.start()
    broker.enqueue(message(job_id, "make_tea"))
    broker.join(QUEUE, timeout=10_000)
    worker.stop()
    runner.stop(0)

    assert done == [job_id]
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []
