"""Queue, once at a start, the embedding of pictures that nobody has queued: embeddings were off."""

from __future__ import annotations

import logging

from mirada.bootstrap import Runtime
from mirada.usecases import backfill
from workers import doorbell

logger = logging.getLogger(__name__)


def catch_up(runtime: Runtime) -> int | None:
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
    doorbell.ring(runtime, job.id, job.kind)
    return job.id
