"""What is looked after once at a start: settings may have changed since the jobs were queued."""

from __future__ import annotations

import logging

from mirada.embedding import backfill
from mirada.jobs import waiting
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)


def wake_what_waits_for_money(runtime: Runtime) -> int:
    """Make jobs due that wait for another day's budget, and return how many they are.

    Raises:
        Unavailable: the database cannot be reached.
    """
    with runtime.transaction() as session:
        count = waiting.wake_what_waits_for_money(session)
    if count:
        logger.info(
            "%s jobs that wait for another day's budget look again whether it suffices", count
        )
    return count


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
    runtime.doorbell.ring(job.id, job.kind)
    return job.id
