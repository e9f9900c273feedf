"""Jobs that nobody does, and jobs about what is gone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sqlalchemy import and_, exists, not_, or_, select, update
from sqlalchemy.orm import Session

from mirada.captions.writing import CAPTION_IMAGE
from mirada.db.deadlocks import in_transaction
from mirada.db.models import Content, Image, Job, JobState, User
from mirada.db.session import count_changed, now_ms
from mirada.departures.ending import END_USER
from mirada.doctor import kinds
from mirada.doctor.visit import Finding, Visit, ids_of
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.jobs import ledger
from mirada.jobs.hints import CANCELLED
from mirada.pictures.thumbnails import MAKE_THUMBNAILS
from mirada.runtime import Runtime

OVERDUE_S = 600
"""The sweeper rings every minute for a due job; after ten minutes unclaimed, no worker runs."""
_OF_NOTHING = and_(
    # Kinds whose subject is a content.
    Job.kind.in_((CREATE_EMBEDDINGS, MAKE_THUMBNAILS, CAPTION_IMAGE)),
    Job.subject_id.is_not(None),
    ~exists().where(Content.id == Job.subject_id),
)


def jobs_of_nothing(visit: Visit) -> Iterator[Finding]:
    """Yield findings on jobs that were given up, about pictures that are gone."""
    runtime = visit.runtime
    query = select(Job.id).where(Job.state.in_(ledger.GIVEN_UP), _OF_NOTHING)
    for job_id in ids_of(runtime, query, Job.id):
        yield visit.mended(kinds.JOB_OF_NOTHING, f"job {job_id}", partial(_cancel, runtime, job_id))


def _cancel(runtime: Runtime, job_id: int) -> bool:
    values = {
        "state": JobState.CANCELLED,
        "last_error": "Its picture is not there any more.",
        "error_code": CANCELLED,
    }
    of_job = update(Job).where(Job.id == job_id, Job.state.in_(ledger.GIVEN_UP))
    in_transaction(
        runtime.database, lambda session: count_changed(session, of_job.values(**values))
    )
    return True


def stuck_jobs(visit: Visit) -> Iterator[Finding]:
    """Yield findings on jobs that were given up, and on due ones that nobody begins."""
    runtime = visit.runtime
    long_ago = now_ms() - OVERDUE_S * 1000
    overdue = or_(
        and_(Job.state == JobState.QUEUED, Job.next_run_at_ms < long_ago),
        and_(Job.state == JobState.RUNNING, Job.lease_until_ms < long_ago),
    )
    # Those of pictures that are gone are told by `jobs_of_nothing`.
    given_up = and_(Job.state.in_(ledger.GIVEN_UP), not_(_OF_NOTHING))
    for kind, condition in ((kinds.GIVEN_UP, given_up), (kinds.NOT_BEGUN, overdue)):
        query = select(Job.id).where(condition)
        for job_id in ids_of(runtime, query, Job.id):
            yield Finding(kind, f"job {job_id}")


def ends_not_done(visit: Visit) -> Iterator[Finding]:
    """Yield findings on ended users whose images nobody clears away."""
    runtime = visit.runtime
    at_work = exists().where(
        Job.kind == END_USER,
        Job.subject_id == User.id,
        # One that was given up is told as such.
        Job.state.in_(ledger.NOT_DONE),
    )
    query = select(User.id).where(
        User.ended_at.is_not(None), exists().where(Image.owner_id == User.id), ~at_work
    )
    for user_id in ids_of(runtime, query, User.id):
        yield visit.mended(
            kinds.NOT_ENDED, f"user {user_id}", partial(_end_again, runtime, user_id)
        )


def _end_again(runtime: Runtime, user_id: int) -> bool:
    """Queue the job of a user's end afresh, as it was asked for; False where there was none."""

    def queued(session: Session) -> tuple[int, str] | None:
        keys = select(Job.same_work).where(Job.kind == END_USER, Job.subject_id == user_id)
        key = session.execute(keys.order_by(Job.id.desc()).limit(1)).scalar_one_or_none()
        job = None if key is None else ledger.locked_by_key(session, key)
        if job is None:
            return None
        if job.state in ledger.FINAL:
            ledger.queue_afresh(job, session.execute(select(now_ms())).scalar_one())
        return job.id, job.kind

    job = in_transaction(runtime.database, queued)
    if job is not None:
        runtime.doorbell.ring(*job)
    return job is not None
