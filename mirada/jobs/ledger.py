"""The ledger of work that must not be lost: queue a job, look at it, retry it. Never rings the doorbell.

A job's row is written in the transaction that writes what the job is about; the caller rings after
the commit. How an attempt runs and ends is in `mirada.jobs.attempts`, what people are told of a job
in `mirada.jobs.reports`, how one is cancelled in `mirada.jobs.cancelling`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, false, func, select, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mirada.db import audit
from mirada.db.models import Job, JobState, Role
from mirada.db.pages import newest_first
from mirada.db.session import now_ms
from mirada.jobs.kinds import Kinds, kind_of
from mirada.jobs.reports import JobReport as JobReport
from mirada.jobs.reports import reports_of
from mirada.kernel.audit import Action
from mirada.kernel.errors import Conflict, NotFound
from mirada.people.identity import Person

ASKED_WITH = "api_key_id"
"""Argument of a job that is given up once this key is revoked; whoever retries it answers for it."""

UNFINISHED = (JobState.QUEUED, JobState.RUNNING)
FINAL = (JobState.DONE, JobState.FAILED, JobState.QUARANTINED, JobState.CANCELLED)
GIVEN_UP = (JobState.FAILED, JobState.QUARANTINED)
RETRIED = (*GIVEN_UP, JobState.CANCELLED)
NOT_DONE = (*UNFINISHED, *GIVEN_UP)
"""Done jobs are kept for good: to count them would cost more every month."""


def enqueue(
    session: Session,
    kind: str,
    *,
    subject_id: int | None = None,
    space_id: int | None = None,
    arguments: dict[str, Any] | None = None,
    owner_id: int | None = None,
    request_id: str | None = None,
    same_work: str | None = None,
) -> Job:
    """Return the queued job for this work, in the caller's transaction; ring after its commit.

    The same work is queued once: a job that waits or runs is returned as it is, one that came to an
    end is queued afresh.

    Args:
        session: the transaction that also writes what the job is about.
        kind: the name of its `Kind`.
        subject_id: the id of what the work is about.
        space_id: the embedding space it is for, None where none applies or none is pinned yet.
        arguments: small JSON values.
        owner_id: who may see the job; None leaves it to administrators.
        request_id: follows the work into the worker's log.
        same_work: the key of "the same work", <= 150 characters; by default made of the kind,
            subject and space.
    """
    job = Job(
        kind=kind,
        subject_id=subject_id,
        space_id=space_id,
        same_work=same_work or f"{kind}:{subject_id}:{space_id}",
        arguments=arguments or {},
        owner_id=owner_id,
        request_id=request_id,
    )
    return enqueue_job(session, job)


def add_first(session: Session, fresh: Job) -> None:
    """Queue a job that cannot be there yet, because its subject is of this transaction.

    The next flush inserts it: one statement in place of five, and for several jobs still one.
    """
    fresh.state = JobState.QUEUED
    session.add(fresh)


def enqueue_job(session: Session, fresh: Job) -> Job:
    """Return the queued job for the work of a job that is no row yet; see `enqueue`."""
    fresh.state = JobState.QUEUED
    job = locked_by_key(session, fresh.same_work)
    now = session.execute(select(now_ms())).scalar_one()
    if job is None:
        fresh.next_run_at_ms = now
        job = _inserted_unless_there(session, fresh)
    if job.state in FINAL:
        queue_afresh(job, now)
        job.space_id = fresh.space_id
        job.arguments = fresh.arguments
        job.owner_id = fresh.owner_id if fresh.owner_id is not None else job.owner_id
        job.request_id = fresh.request_id
        session.flush()
    return job


def _inserted_unless_there(session: Session, fresh: Job) -> Job:
    try:
        with session.begin_nested():
            session.add(fresh)
            session.flush()
        return fresh
    except IntegrityError:
        # Another transaction queued the same work between our look and our insert.
        job = locked_by_key(session, fresh.same_work)
        if job is None:
            raise
        return job


def locked_by_key(session: Session, key: str) -> Job | None:
    """Return the job of this work as it is now, locked; None where there is none."""
    return session.execute(
        select(Job)
        .where(Job.same_work == key)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()


def queue_afresh(job: Job, now: int) -> None:
    """Make a job that came to an end wait again, as if it had never run."""
    job.state = JobState.QUEUED
    job.next_run_at_ms = now
    job.attempts = job.crashes = job.progress_done = 0
    job.is_suspect = False
    job.progress_total = job.rung_at_ms = job.started_at_ms = job.finished_at_ms = None
    job.lease_token = job.lease_until_ms = job.last_error = job.error_code = None


def get_job(session: Session, job_id: int, viewer: Person | None, kinds: Kinds) -> JobReport:
    """Return a job the viewer may see; its kind says what they are told of its subject.

    Raises:
        NotFound: there is no such job, or it is not the viewer's to see.
    """
    row = session.execute(
        select(Job, now_ms()).where(Job.id == job_id, may_see(viewer))
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no job {job_id}.")
    return reports_of(session, [row[0]], row[1], viewer, kinds)[0]


def list_jobs(
    session: Session,
    viewer: Person | None,
    kinds: Kinds,
    *,
    states: tuple[JobState, ...] = (),
    kind: str | None = None,
    cursor: int | None = None,
    limit: int = 50,
) -> list[JobReport]:
    """Return jobs the viewer may see, newest first.

    Args:
        session: reads only.
        viewer: whose list it is; an administrator sees every job, None sees none.
        kinds: say what is told of the jobs' subjects.
        states: only these; GIVEN_UP is the failed list. Empty means all.
        kind: only this kind.
        cursor: ids below this one, for the next page.
        limit: at most so many.
    """
    query = select(Job, now_ms()).where(may_see(viewer))
    if states:
        query = query.where(Job.state.in_(states))
    if kind is not None:
        query = query.where(Job.kind == kind)
    rows = session.execute(newest_first(query, Job.id, cursor, limit)).all()
    return reports_of(session, [job for job, _ in rows], rows[0][1] if rows else 0, viewer, kinds)


def count_by_state(session: Session) -> dict[JobState, int]:
    """Return how many jobs are in each state, zeros included; for metrics and health."""
    rows = session.execute(select(Job.state, func.count()).group_by(Job.state))
    counts = {JobState(row[0]): int(row[1]) for row in rows}
    return {state: counts.get(state, 0) for state in JobState}


@dataclass(frozen=True, slots=True)
class Backlog:
    """The work that is not done.

    Attributes:
        jobs: how many there are by kind and state; zeros included, for the kinds asked for and NOT_DONE.
        longest_wait_s: how long the oldest due job has waited for a worker; 0 when none waits.
    """

    jobs: Mapping[tuple[str, str], int]
    longest_wait_s: float


def backlog(session: Session, kinds: Iterable[str]) -> Backlog:
    """Count the jobs that wait, run or were given up; these kinds also where there are none."""
    counts = {(kind, str(state)): 0 for kind in kinds for state in NOT_DONE}
    rows = session.execute(
        select(Job.kind, Job.state, func.count())
        .where(Job.state.in_(NOT_DONE))
        .group_by(Job.kind, Job.state)
    )
    counts |= {(kind, str(state)): int(count) for kind, state, count in rows}
    waited_ms = session.execute(
        select(now_ms() - func.min(Job.next_run_at_ms)).where(Job.state == JobState.QUEUED)
    ).scalar_one()
    # What is to be tried again later waits for its time, not for a worker.
    return Backlog(counts, max(0.0, float(waited_ms or 0) / 1000))


def retry_job(session: Session, job_id: int, viewer: Person | None, kinds: Kinds) -> Job:
    """Queue a failed, quarantined or cancelled job afresh, as its kind says; ring after the commit.

    Raises:
        NotFound: there is no such job, or it is not the viewer's to see.
        Conflict: the job has neither been given up nor cancelled.
    """
    seen = get_job(session, job_id, viewer, kinds).job
    kind = kind_of(kinds, seen.kind)
    if seen.subject_id is not None:
        kind.subject_rules.lock(session, seen.subject_id)
    job = locked_by_key(session, seen.same_work)
    if job is None or job.state not in RETRIED:
        state = job.state if job is not None else "gone"
        raise Conflict(
            f"Job {job_id} is {state}; only failed, quarantined and cancelled jobs are retried."
        )
    queue_afresh(job, session.execute(select(now_ms())).scalar_one())
    if job.arguments.get(ASKED_WITH) is not None:
        job.arguments = {**job.arguments, ASKED_WITH: None}
    job.arguments = {**job.arguments, **kind.retried_with}
    if job.subject_id is not None:
        kind.subject_rules.retry(session, job.subject_id)
    tell_of_others(session, Action.JOB_RETRY, job, viewer)
    session.flush()
    return job


def tell_of_others(session: Session, action: Action, job: Job, viewer: Person | None) -> None:
    """Write down what an administrator does to a job that is not their own."""
    if viewer is None or job.owner_id != viewer.id:
        told = {"kind": job.kind}
        audit.record(session, action, job.id, owner_id=job.owner_id, detail=told)


def may_see(viewer: Person | None) -> ColumnElement[bool]:
    """Return the condition on `jobs` for whom the viewer sees: their own; an administrator sees all."""
    if viewer is None:
        return false()
    if viewer.role == Role.ADMINISTRATOR:
        return true()
    return Job.owner_id == viewer.id
