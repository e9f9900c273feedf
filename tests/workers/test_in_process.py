"""Without Redis the web process works the same ledger with threads of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import update

from mirada.db.models import Job, JobState
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.jobs import ledger
from mirada.jobs.batches import BATCH
from mirada.jobs.kinds import Kind
from testing.patience import PATIENCE_S, Stopwatch, wait_until
from testing.worksite import Site
from workers import in_process
from workers.doorbell import InProcessDoorbell
from workers.in_process import InProcessWorker
from workers.runner import JobRunner


@pytest.fixture
def working(site: Site) -> Iterator[Site]:
    stop = in_process.start(site.runtime)
    yield site
    stop()


def test_pictures_become_ready_by_themselves(working: Site) -> None:
    for seed in range(12):
        working.upload(seed)

    working.wait_for({"READY": 12})

    assert (working.encoder.encoded, working.vectors()) == (12, 12)


def test_a_picture_is_ready_within_a_second_of_its_upload(working: Site) -> None:
    working.upload(0)
    working.wait_for({"READY": 1})
    watch = Stopwatch()
    working.upload(1)
    working.wait_for({"READY": 2})

    assert watch.seconds < 2


def test_an_upload_wakes_who_works_batches_and_not_the_dispatcher(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers, woken = InProcessWorker(site.runtime), []
    monkeypatch.setattr(workers._dispatcher, "wake", lambda: woken.append("dispatcher"))
    bell = InProcessDoorbell(workers._wake_for)
    assert bell.ring(1, CREATE_EMBEDDINGS)  # nobody works yet: the encoder is still to be loaded
    assert woken == ["dispatcher"]
    workers._has_encoder = True

    for job_id in (2, 3):
        assert bell.ring(job_id, CREATE_EMBEDDINGS)
    assert (woken, workers._due.qsize()) == (["dispatcher"], 1)
    assert workers._due.get() == CREATE_EMBEDDINGS

    assert bell.ring(7, "make_coffee")
    assert woken == ["dispatcher"] * 2


def test_work_queued_by_another_process_is_noticed(
    make_site: Callable[..., Site], working: Site
) -> None:
    from mirada.runtime import Runtime

    # Another runtime on the same database rings nobody here.
    other = Runtime(working.runtime.settings)
    with other.transaction() as session:
        job_id = ledger.enqueue(session, "make_coffee").id
    other.close()

    watch = Stopwatch()
    while working.job(job_id).state != JobState.FAILED:
        assert not watch.is_over(PATIENCE_S)
        time.sleep(0.05)


def test_what_was_left_by_the_last_process_is_done_at_start(site: Site) -> None:
    for seed in range(6):
        site.upload(seed)
    with site.runtime.transaction() as session:
        session.execute(
            update(Job)
            .where(Job.id % 2 == 0)
            .values(state=JobState.RUNNING, lease_token="gone", lease_until_ms=1, attempts=1)
        )

    stop = in_process.start(site.runtime)
    site.wait_for({"READY": 6})
    stop()

    assert site.vectors() == 6


def test_a_poisonous_job_does_not_stop_the_queue(site: Site) -> None:
    with site.runtime.transaction() as session:
        poison = ledger.enqueue(session, "poison").id
        session.execute(
            update(Job).values(
                state=JobState.RUNNING, crashes=2, attempts=3, lease_token="x", lease_until_ms=1
            )
        )
    stop = in_process.start(site.runtime)
    site.upload(1)
    site.wait_for({"READY": 1})
    stop()

    assert site.job(poison).state == JobState.QUARANTINED


def test_stopping_waits_for_what_is_under_way_and_leaves_the_rest_queued(site: Site) -> None:
    began = threading.Event()

    def slowly() -> None:
        began.set()
        time.sleep(0.3)

    site.encoder.before = slowly
    ids = [site.upload(seed).job_id for seed in range(2 * BATCH + 8)]
    workers = InProcessWorker(site.runtime, threads=2)
    workers.start()
    assert began.wait(PATIENCE_S)
    workers.stop()
    workers.stop()

    states = [site.job(job_id).state for job_id in ids]
    assert JobState.RUNNING not in states
    assert JobState.QUEUED in states
    assert all(site.job(job_id).crashes == 0 for job_id in ids)


def test_a_job_that_nobody_can_claim_keeps_no_thread_busy(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_process.REST_S >= 1
    # On a busy machine more than two seconds may pass here.
    monkeypatch.setattr(in_process, "REST_S", 3_600.0)
    tries: list[int] = []

    class Reluctant(JobRunner):
        def run(self, job_id: int) -> bool:
            tries.append(job_id)
            return False

    with site.runtime.transaction() as session:
        ledger.enqueue(session, "anything")
    workers = InProcessWorker(site.runtime, runner=Reluctant(site.runtime))
    workers.start()
    wait_until(lambda: tries, what="the first try")
    time.sleep(3 * in_process.POLL_EVERY_S)
    workers.stop()

    assert len(tries) == 1


def test_a_broken_job_of_ours_never_ends_a_thread(site: Site, caplog: Any) -> None:
    def explode(_: Any, __: Any) -> None:
        raise MemoryError("all of it")

    with site.runtime.transaction() as session:
        job_id = ledger.enqueue(session, "explode").id
    runner = JobRunner(site.runtime, kinds={"explode": Kind("explode", explode)})

    assert runner.run(job_id)

    runner.stop(0)
    assert site.job(job_id).last_error == "MemoryError: all of it"
