"""The job that queues the embedding of every content that has no vector, and its start by itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mirada.embedding import backfill
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.jobs import attempts
from mirada.jobs.kinds import Kind

if TYPE_CHECKING:
    from mirada.jobs.attempt import Attempt
    from mirada.runtime import Runtime

logger = logging.getLogger(__name__)


def backfill_embeddings(runtime: Runtime, attempt: Attempt) -> None:
    """Queue the embedding of every content that has no vector, and ring for each."""
    job = attempt.job
    if not runtime.settings.embeddings_enabled:
        attempts.finish_alone(runtime, attempt)
        return
    space_id, _ = runtime.space()
    batch_size = int(job.arguments.get("batch_size", backfill.BATCH_SIZE))
    skip_existing = bool(job.arguments.get("skip_existing", True))
    only_unqueued = bool(job.arguments.get("only_unqueued", False))
    with runtime.reading() as session:
        total = backfill.count_to_embed(
            session, space_id, skip_existing=skip_existing, only_unqueued=only_unqueued
        )
    done, after = 0, 0
    while True:
        attempt.report(done, max(total, done))
        with runtime.transaction() as session:
            page = backfill.queue_page(
                session,
                space_id,
                after_content_id=after,
                batch_size=batch_size,
                skip_existing=skip_existing,
                only_unqueued=only_unqueued,
                request_id=job.request_id,
            )
        if page.last_content_id is None:
            break
        for job_id in page.job_ids:
            runtime.doorbell.ring(job_id, CREATE_EMBEDDINGS)
        after = page.last_content_id
        done += len(page.job_ids)
    with runtime.transaction() as session:
        attempts.report_progress(session, job.id, attempt.token, done, done)
        attempts.finish(session, job.id, attempt.token)


def backfill_at_start(runtime: Runtime) -> int | None:
    """Queue a backfill if pictures wait for one, and return its job's id; what failed stays failed.

    Raises:
        Unavailable: the database cannot be reached.
    """
    space_id, _ = runtime.space()
    with runtime.reading() as session:
        count = backfill.count_to_embed(session, space_id, only_unqueued=True)
    if count == 0:
        return None
    with runtime.transaction() as session:
        job = backfill.queue_at_start(session)
    if job is None:
        logger.warning(
            "%s pictures have no vector, and the job that would queue them was given up; see: "
            "flask --app wsgi jobs failed",
            count,
        )
        return None
    logger.info("%s pictures without a vector are embedded now, by job %s", count, job.id)
    runtime.doorbell.ring(job.id, job.kind)
    return job.id


KIND = Kind(backfill.BACKFILL_EMBEDDINGS, backfill_embeddings)
