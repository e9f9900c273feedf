"""Cancel jobs, and queue those that were given up afresh, many at once."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from mirada.db.deadlocks import in_transaction
from mirada.db.models import Job, JobState
from mirada.db.session import now_ms
from mirada.jobs import ledger
from mirada.jobs.hints import CANCELLED
from mirada.jobs.kinds import Kinds, kind_of
from mirada.kernel.audit import Action
from mirada.kernel.errors import Conflict, NotFound
from mirada.people.identity import Person
from mirada.runtime import Runtime

MOST_AT_ONCE = 200
"""Jobs that one call queues afresh at most."""
LIMIT_S = 3.0
"""A request is answered within 5 s, however slow the disk is."""


def cancel_job(session: Session, job_id: int, viewer: Person | None, kinds: Kinds) -> Job:
    """End a job that waits or runs, and return it; its subject is given up for the job's owner.

    An attempt under way loses its lease: it writes nothing more, and ends at its next step.

    Raises:
        NotFound: there is no such job, or it is not the viewer's to see.
        Conflict: it has ended, its kind runs to the end, or it ends within seconds by itself.
    """
    seen = ledger.get_job(session, job_id, viewer, kinds).job
    kind = kind_of(kinds, seen.kind)
    if kind.why_not_cancelled is not None:
        raise Conflict(f"Job {job_id} cannot be cancelled. {kind.why_not_cancelled}")
    rules = kind.subject_rules
    if seen.subject_id is not None:
        rules.lock(session, seen.subject_id)
    job = ledger.locked_by_key(session, seen.same_work)
    if job is None or job.state not in ledger.UNFINISHED:
        state = job.state if job is not None else "gone"
        raise Conflict(f"Job {job_id} is {state}; only queued and running jobs are cancelled.")
    if job.state == JobState.RUNNING and kind.together is not None:
        # Others are in the same transaction, and would be done again.
        raise Conflict(f"Job {job_id} is being worked on, which takes seconds: it has begun.")
    reason = f"It was cancelled by {viewer.username if viewer is not None else 'nobody'}."
    job.state, job.finished_at_ms = JobState.CANCELLED, _now(session)
    job.last_error, job.error_code = reason, CANCELLED
    job.lease_token = job.lease_until_ms = None
    if job.subject_id is not None:
        if rules.cancel is not None:
            rules.cancel(session, job.subject_id, job.owner_id, reason)
        else:
            rules.give_up(session, job.subject_id, reason)
    ledger.tell_of_others(session, Action.JOB_CANCEL, job, viewer)
    session.flush()
    return job


def _now(session: Session) -> int:
    return session.execute(select(now_ms())).scalar_one()


@dataclass(frozen=True, slots=True)
class Retried:
    """The outcome of queueing many jobs afresh.

    Attributes:
        count: how many were queued.
        left: how many are in the same state still; ask again for them.
    """

    count: int
    left: int


def retry_all(
    runtime: Runtime, viewer: Person, kinds: Kinds, *, state: JobState, kind: str | None = None
) -> Retried:
    """Queue jobs in a state afresh that the viewer sees, the oldest first, and ring for them.

    Each in a transaction of its own, MOST_AT_ONCE and LIMIT_S at most.
    """
    ends_at_s = time.monotonic() + LIMIT_S
    these = _these(viewer, state, kind)
    with runtime.reading() as session:
        query = select(Job.id).where(these).order_by(Job.id).limit(MOST_AT_ONCE)
        job_ids = list(session.execute(query).scalars())
    count = 0
    for job_id in job_ids:
        if time.monotonic() > ends_at_s:
            break
        count += _retry(runtime, viewer, kinds, job_id)
    with runtime.reading() as session:
        left = session.execute(select(func.count()).select_from(Job).where(these)).scalar_one()
    return Retried(count, left)


def _these(viewer: Person, state: JobState, kind: str | None) -> ColumnElement[bool]:
    conditions = [ledger.may_see(viewer), Job.state == state]
    if kind is not None:
        conditions.append(Job.kind == kind)
    return and_(*conditions)


def _retry(runtime: Runtime, viewer: Person, kinds: Kinds, job_id: int) -> bool:
    try:
        job = in_transaction(
            runtime.database, lambda session: ledger.retry_job(session, job_id, viewer, kinds)
        )
    except (Conflict, NotFound):
        # Somebody else was quicker.
        return False
    runtime.doorbell.ring(job.id, job.kind)
    return True
