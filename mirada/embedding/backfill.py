"""Find contents that lack a vector, theirs or their prompts', or a palette, and queue their embedding.

Running it twice is harmless.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import Session

from mirada.db import spaces
from mirada.db.contents import lock_content
from mirada.db.models import Content, Embedding, Job, JobState
from mirada.embedding import embed, texts
from mirada.embedding.job import CREATE_EMBEDDINGS, queue_embedding
from mirada.jobs import attempts, ledger
from mirada.jobs.kinds import Attempt, Kind
from mirada.kernel.commands import command_line
from mirada.kernel.embeddings import SpaceKind
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

BATCH_SIZE = 50
"""CONTRACT A: backfill_embeddings_task(batch_size=50, skip_existing=True)."""
BACKFILL_EMBEDDINGS = "backfill_embeddings_task"
AT_START = f"{BACKFILL_EMBEDDINGS}:at start"
"""The work a start queues by itself, apart from a backfill that somebody asked for."""


@dataclass(frozen=True, slots=True)
class BackfillPage:
    """The outcome of one page.

    Attributes:
        last_content_id: where the next page begins; None when there was nothing left.
        job_ids: the jobs to ring after the commit.
    """

    last_content_id: int | None
    job_ids: list[int]


def count_to_embed(
    session: Session,
    space_id: int,
    *,
    after_content_id: int = 0,
    skip_existing: bool = True,
    only_unqueued: bool = False,
) -> int:
    """Return how many contents with higher ids `queue_page` would queue."""
    pending = contents_to_embed(
        session, space_id, after_content_id, skip_existing, only_unqueued
    ).subquery()
    return session.execute(select(func.count()).select_from(pending)).scalar_one()


def queue_page(
    session: Session,
    space_id: int,
    *,
    after_content_id: int = 0,
    batch_size: int = BATCH_SIZE,
    skip_existing: bool = True,
    only_unqueued: bool = False,
    request_id: str | None = None,
) -> BackfillPage:
    """Queue create_embeddings_task for the next contents by ascending id.

    Args:
        session: a transaction of its own: it locks the contents of one page.
        space_id: the space whose vectors are missing.
        after_content_id: the last page's `last_content_id`.
        batch_size: contents per page, >= 1.
        skip_existing: false computes every vector again and writes over the old one.
        only_unqueued: leave contents alone whose job waits, runs or was given up.
        request_id: follows the work into the worker's log.
    """
    query = contents_to_embed(session, space_id, after_content_id, skip_existing, only_unqueued)
    content_ids = session.execute(query.order_by(Content.id).limit(batch_size)).scalars().all()
    job_ids = []
    for content_id in content_ids:
        if lock_content(session, content_id) is None:
            continue
        texts.note_prompts(session, content_id)
        embed.await_images(session, content_id, only_failed=True)
        job = queue_embedding(
            session, content_id, space_id, request_id=request_id, replace=not skip_existing
        )
        job_ids.append(job.id)
    return BackfillPage(content_ids[-1] if content_ids else None, job_ids)


def contents_to_embed(
    session: Session, space_id: int, after_content_id: int, skip_existing: bool, only_unqueued: bool
) -> Select[int]:
    """Return the query for the ids of what `queue_page` would queue, its arguments as there."""
    # What somebody only had classified has no bytes that could be embedded.
    query = select(Content.id).where(Content.id > after_content_id, Content.storage_key != "")
    if skip_existing:
        prompt_space_id = spaces.pinned_space_id(session, SpaceKind.PROMPT)
        query = query.outerjoin(
            Embedding,
            and_(
                Embedding.content_id == Content.id,
                Embedding.space_id == space_id,
                Embedding.is_deleted.is_(False),
            ),
        )
        lacking = [Embedding.id.is_(None), texts.content_lacks_prompts(prompt_space_id)]
        if not only_unqueued:
            # Embedded before pictures had palettes: nothing a start should busy the workers with.
            lacking.append(Content.palette.is_(None))
        query = query.where(or_(*lacking))
    if only_unqueued:
        # A job that is DONE without a vector was worked while embeddings were switched off.
        unfinished = select(Job.subject_id).where(
            Job.kind == CREATE_EMBEDDINGS,
            Job.state != JobState.DONE,
            Job.subject_id.is_not(None),
            or_(Job.space_id == space_id, Job.space_id.is_(None)),
        )
        query = query.where(Content.id.not_in(unfinished))
    return query


def backfill_embeddings(runtime: Runtime, attempt: Attempt) -> None:
    """Queue the embedding of every content that has no vector, and ring for each."""
    job = attempt.job
    if not runtime.settings.embeddings_enabled:
        attempts.finish_alone(runtime, attempt)
        return
    space_id, _ = runtime.space()
    batch_size = int(job.arguments.get("batch_size", BATCH_SIZE))
    skip_existing = bool(job.arguments.get("skip_existing", True))
    only_unqueued = bool(job.arguments.get("only_unqueued", False))
    with runtime.reading() as session:
        total = count_to_embed(
            session, space_id, skip_existing=skip_existing, only_unqueued=only_unqueued
        )
    done, after = 0, 0
    while True:
        attempt.report(done, max(total, done))
        with runtime.transaction() as session:
            page = queue_page(
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
    """Queue a backfill of the contents that have neither a vector nor a job, and return its job's id.

    Such are those that were uploaded while EMBEDDINGS_ENABLED was false. Several processes at once,
    or a start soon after another, queue one job. None: there are none, or an earlier start's
    backfill was given up, and stays so until somebody retries it.

    Raises:
        Unavailable: the database cannot be reached.
    """
    space_id, _ = runtime.space()
    with runtime.reading() as session:
        count = count_to_embed(session, space_id, only_unqueued=True)
    if count == 0:
        return None
    with runtime.transaction() as session:
        given_up = select(Job.id).where(Job.same_work == AT_START, Job.state.in_(ledger.GIVEN_UP))
        job = None
        if session.execute(given_up).first() is None:
            job = ledger.enqueue(
                session,
                BACKFILL_EMBEDDINGS,
                arguments={"only_unqueued": True},
                same_work=AT_START,
            )
    if job is None:
        logger.warning(
            "%s pictures have no vector, and the job that would queue them was given up; see: %s",
            count,
            command_line("jobs failed"),
        )
        return None
    logger.info("%s pictures without a vector are embedded now, by job %s", count, job.id)
    runtime.doorbell.ring(job.id, job.kind)
    return job.id


KIND = Kind(
    BACKFILL_EMBEDDINGS,
    backfill_embeddings,
    title="Make the remaining pictures searchable",
)
