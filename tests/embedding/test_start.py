"""A start looks after what settings held up: pictures without a vector, and jobs without a budget."""

from __future__ import annotations

import threading

from sqlalchemy import select, update

from mirada.captions.writing import CAPTION_IMAGE
from mirada.db.models import Job, JobState
from mirada.embedding import backfill
from mirada.embedding.backfill import backfill_at_start
from mirada.jobs import attempts, ledger, sweep
from mirada.kernel.errors import InvalidInput
from mirada.runtime import Runtime
from testing.worksite import Site
from workers import __main__
from workers.kinds import KINDS
from workers.runner import run_job


def set_embedding(site: Site, is_on: bool) -> None:
    runtime = site.runtime
    runtime.settings = runtime.settings.model_copy(update={"embeddings_enabled": is_on})


def give_up(runtime: Runtime, job_id: int) -> None:
    with runtime.transaction() as session:
        job = attempts.claim(session, job_id)
        assert job is not None
        attempts.fail(
            session,
            job_id,
            job.lease_token or "",
            InvalidInput("The input is torn."),
            KINDS[job.kind],
        )


def run_all(site: Site) -> None:
    while True:
        with site.runtime.reading() as session:
            query = select(Job.id).where(Job.state == JobState.QUEUED).order_by(Job.id).limit(1)
            job_id = session.execute(query).scalar_one_or_none()
        if job_id is None:
            return
        run_job(site.runtime, job_id)


def test_what_came_in_while_embeddings_were_off_is_embedded_at_the_next_start(site: Site) -> None:
    set_embedding(site, False)
    for seed in range(3):
        assert site.upload(seed).job_id is None
    set_embedding(site, True)

    first = backfill_at_start(site.runtime)
    assert first is not None
    assert backfill_at_start(site.runtime) == first
    run_all(site)

    assert site.statuses() == {"READY": 3}
    assert site.job(first).progress_done == 3
    assert backfill_at_start(site.runtime) is None


def test_a_worker_that_starts_looks_again_whether_the_budget_suffices(site: Site) -> None:
    reason = "Today's budget for language models (LLM_DAILY_BUDGET_USD) is reached; this waits."
    with site.runtime.transaction() as session:
        job = ledger.enqueue(session, CAPTION_IMAGE)
        tomorrow = job.next_run_at_ms + 86_400_000
        session.execute(
            update(Job).where(Job.id == job.id).values(last_error=reason, next_run_at_ms=tomorrow)
        )
        job_id = job.id
    assert __main__._prepare(site.runtime, threading.Event())
    with site.runtime.reading() as session:
        assert [each.id for each in sweep.due_jobs(session)] == [job_id]


def test_a_worker_that_starts_catches_up_before_it_works(site: Site) -> None:
    set_embedding(site, False)
    site.upload(1)
    assert __main__._prepare(site.runtime, threading.Event())
    with site.runtime.reading() as session:
        assert ledger.count_by_state(session)[JobState.QUEUED] == 0

    set_embedding(site, True)
    assert __main__._prepare(site.runtime, threading.Event())
    run_all(site)

    assert site.statuses() == {"READY": 1}


def test_a_job_that_was_worked_while_embeddings_were_off_is_done_again(site: Site) -> None:
    job_id = site.upload(1).job_id or 0
    set_embedding(site, False)
    run_job(site.runtime, job_id)
    assert site.statuses() == {"PENDING": 1}
    set_embedding(site, True)

    backfill_at_start(site.runtime)
    run_all(site)

    assert site.statuses() == {"READY": 1}


def test_a_start_asks_again_for_nothing_that_failed_or_waits(site: Site) -> None:
    failed = site.upload(1).job_id or 0
    give_up(site.runtime, failed)
    waiting = site.upload(2).job_id or 0
    assert backfill_at_start(site.runtime) is None

    set_embedding(site, False)
    site.upload(3)
    set_embedding(site, True)
    started = backfill_at_start(site.runtime)
    run_job(site.runtime, started or 0)

    assert site.job(started).progress_done == 1
    assert site.job(failed).state == JobState.FAILED
    assert site.job(waiting).state == JobState.QUEUED
    assert site.statuses() == {"FAILED": 1, "PENDING": 2}


def test_a_backfill_that_was_given_up_waits_for_a_person(site: Site) -> None:
    set_embedding(site, False)
    site.upload(1)
    set_embedding(site, True)
    started = backfill_at_start(site.runtime) or 0
    give_up(site.runtime, started)

    assert backfill_at_start(site.runtime) is None

    assert site.job(started).state == JobState.FAILED
    with site.runtime.reading() as session:
        assert backfill.count_to_embed(session, site.space_id) == 1
        assert ledger.count_by_state(session)[JobState.QUEUED] == 0
