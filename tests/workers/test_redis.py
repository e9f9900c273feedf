"""Redis is a doorbell: what it loses is found again in the database."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis

from mirada.db.models import JobState
from testing.patience import PATIENCE_S, Stopwatch
from testing.worker_apart import WorkerProcess
from testing.worksite import Site
from workers import broker, lease_holder
from workers.runner import JobRunner
from workers.sweeper import Sweeper

pytestmark = pytest.mark.redis


@pytest.fixture
def site(make_site: Callable[..., Site], site_settings: dict[str, Any], redis_url: str) -> Site:
    """A site with Redis, on SQLite and on MariaDB."""
    return make_site(redis_url=redis_url, **site_settings)


@pytest.fixture
def worker(site: Site, redis_url: str) -> Iterator[JobRunner]:
    """Dramatiq's worker in this process."""
    runner = JobRunner(site.runtime)
    queue = broker.make_broker(redis_url, 5)
    broker.declare(queue, runner)
    dramatiq_worker = dramatiq.Worker(
        queue, worker_threads=4, worker_timeout=broker.WORKER_TIMEOUT_MS
    )
    dramatiq_worker.start()
    yield runner
    runner.stop(5)
    dramatiq_worker.stop(timeout=2_000)
    queue.client.close()
    site.runtime.doorbell.close()


def test_a_ring_brings_a_picture_to_ready_at_once(site: Site, worker: JobRunner) -> None:
    site.upload(0)
    site.wait_for({"READY": 1})
    watch = Stopwatch()
    site.upload(1)
    site.wait_for({"READY": 2})

    assert watch.seconds < 2


def test_a_bell_that_rings_twice_is_answered_once(site: Site, worker: JobRunner) -> None:
    taken = site.upload(1)
    for _ in range(5):
        site.runtime.doorbell.ring(taken.job_id or 0, "create_embeddings_task")
    site.wait_for({"READY": 1})
    time.sleep(0.3)

    assert (site.encoder.encoded, site.job(taken.job_id).attempts) == (1, 1)


def test_bells_that_redis_lost_are_rung_again(
    site: Site, redis_url: str, request: pytest.FixtureRequest
) -> None:
    for seed in range(6):
        site.upload(seed)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    request.getfixturevalue("worker")
    time.sleep(0.3)
    assert site.statuses() == {"PENDING": 6}

    assert Sweeper(site.runtime).sweep() == 6

    site.wait_for({"READY": 6})


def test_bells_lost_after_a_sweep_are_rung_again_by_the_next_one(
    site: Site, redis_url: str
) -> None:
    site.upload(0)
    sweeper = Sweeper(site.runtime)
    assert sweeper.sweep() == 1
    assert sweeper.sweep() == 0

    with redis.Redis.from_url(redis_url) as client:
        client.flushall()

    assert sweeper.sweep() == 1


def test_one_sweeper_works_at_a_time_and_another_takes_over(site: Site, monkeypatch: Any) -> None:
    first = Sweeper(site.runtime)
    first.start()
    monkeypatch.setattr(lease_holder, "this_process", lambda: "another process!")
    second = Sweeper(site.runtime)
    time.sleep(0.3)
    site.upload(0)

    assert second.sweep() == 0
    first.stop()
    assert second.sweep() == 1


def test_an_upload_does_not_wait_for_a_redis_that_is_down(
    make_site: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(redis_url="redis://127.0.0.1:1/0")
    site.upload(0)
    watch = Stopwatch()
    with caplog.at_level(logging.WARNING):
        for seed in range(1, 4):
            site.upload(seed)
    assert watch.seconds < 3

    for _ in range(3):
        assert not site.runtime.doorbell.ring(1, "create_embeddings_task")
    complaints = [
        record for record in caplog.records if "Redis cannot be reached" in record.message
    ]
    assert len(complaints) <= 1
    assert site.statuses() == {"PENDING": 4}
    # Nothing was noted as rung, so the first sweep after Redis is back rings for all.
    assert Sweeper(site.runtime).sweep() == 0
    assert site.job(1).rung_at_ms is None


def test_a_killed_worker_loses_nothing_and_does_nothing_twice(site: Site, tmp_path: Path) -> None:
    first = WorkerProcess(site.runtime, tmp_path, ENCODING_TAKES_S="0.05")
    for seed in range(40):
        site.upload(seed)
    watch = Stopwatch()
    while site.statuses().get("READY", 0) < 5:
        assert not watch.is_over(PATIENCE_S), first.log.read_text()
        time.sleep(0.02)
    first.end(signal.SIGKILL)
    assert site.statuses().get("READY", 0) < 40

    second = WorkerProcess(site.runtime, tmp_path)
    try:
        site.wait_for({"READY": 40})
    finally:
        code = second.end(signal.SIGTERM)

    assert code == 0, second.log.read_text()
    assert site.vectors() == 40
    assert "Traceback" not in second.log.read_text()


def test_a_worker_told_to_stop_ends_cleanly_and_leaves_no_crash(site: Site, tmp_path: Path) -> None:
    worker = WorkerProcess(site.runtime, tmp_path, ENCODING_TAKES_S="0.2")
    ids = [site.upload(seed).job_id for seed in range(30)]
    watch = Stopwatch()
    while site.statuses().get("READY", 0) < 2:
        assert not watch.is_over(PATIENCE_S), worker.log.read_text()
        time.sleep(0.02)

    assert worker.end(signal.SIGTERM) == 0, worker.log.read_text()

    jobs_left = [site.job(job_id) for job_id in ids]
    assert {job.state for job in jobs_left} <= {JobState.QUEUED, JobState.DONE}
    assert all(job.crashes == 0 for job in jobs_left)
    assert "Traceback" not in worker.log.read_text()


# On MariaDB the same counting is held without processes, in tests/jobs and in test_in_process.py.
@pytest.mark.parametrize(
    "site_settings",
    ["sqlite", pytest.param("mariadb", marks=[pytest.mark.mariadb, pytest.mark.drill])],
    indirect=True,
)
def test_a_picture_that_kills_its_worker_is_quarantined_and_no_other(
    site: Site, tmp_path: Path
) -> None:
    innocent = [site.upload(seed).job_id for seed in range(8)]
    poison = site.upload(100, size=(600, 40)).job_id
    innocent += [site.upload(seed).job_id for seed in range(8, 16)]
    watch = Stopwatch()
    deaths = 0
    worker = WorkerProcess(site.runtime, tmp_path, ENCODING_TAKES_S="0.02")
    while site.statuses() != {"READY": 16, "FAILED": 1}:
        assert not watch.is_over(PATIENCE_S), (site.statuses(), worker.log.read_text())
        if worker.process.poll() is not None:
            deaths += 1
            worker = WorkerProcess(site.runtime, tmp_path, ENCODING_TAKES_S="0.02")
        time.sleep(0.05)
    assert worker.end(signal.SIGTERM) == 0

    # One with a batch, unless it happened to be alone in it, and three alone.
    assert deaths in (3, 4)
    assert site.job(poison).state == JobState.QUARANTINED
    assert all(site.job(job_id).crashes <= 1 for job_id in innocent)


@pytest.mark.drill
def test_poison_in_a_batch_is_found_and_costs_the_others_nothing(
    site: Site, tmp_path: Path
) -> None:
    innocent = [site.upload(seed).job_id for seed in range(40)]
    poison = [site.upload(100 + seed, size=(600, 40)).job_id for seed in range(2)]
    innocent += [site.upload(seed).job_id for seed in range(40, 80)]
    watch = Stopwatch()
    deaths = 0
    worker = WorkerProcess(site.runtime, tmp_path)
    while site.statuses() != {"READY": 80, "FAILED": 2}:
        assert not watch.is_over(PATIENCE_S), (site.statuses(), worker.log.read_text())
        if worker.process.poll() is not None:
            deaths += 1
            worker = WorkerProcess(site.runtime, tmp_path)
        time.sleep(0.05)
    assert worker.end(signal.SIGTERM) == 0

    assert {site.job(job_id).state for job_id in poison} == {JobState.QUARANTINED}
    assert deaths <= 8
    jobs = [site.job(job_id) for job_id in innocent]
    assert {job.state for job in jobs} == {JobState.DONE}
    assert all(job.crashes <= 1 and job.attempts <= 2 for job in jobs)
    assert site.vectors() == 80
