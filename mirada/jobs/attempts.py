"""Attempts in the ledger: claim a job, renew its lease, end the attempt. Never commits.

A job is claimed by one conditional UPDATE on the database's own clock, and that claim is committed
before the work begins: what ends without a finishing write is thereby known to have crashed. A
finishing write carries the attempt's token, so one that was given up for lost changes nothing. Jobs
that are claimed together are in `mirada.jobs.batches`; a crash counts for one that was alone.
Lock order: a job's content comes before the job's row, see `mirada.db.models`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Update,
    and_,
    bindparam,
    case,
    false,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.orm import Session

from mirada.db.models import Job, JobState
from mirada.db.session import count_changed, now_ms
from mirada.jobs.kinds import Attempt, Kind, Kinds, code_of, is_hopeless, kind_of, reason_of
from mirada.kernel.errors import Deferred, LeaseLost
from mirada.runtime import Runtime

LEASE_S = 45
"""JOBS: long enough for three missed renewals of 15 s, short enough to wait for after a crash."""
CRASHES_ALLOWED = 3
"""JOBS: after three attempts that ended with no recorded error a job is quarantined."""
WORKER_DIED = "worker_died"
"""The error code of what is quarantined."""
QUARANTINE_REASON = (
    "The worker died three times while doing this, without an error. It will not be tried again "
    "by itself. Look at the worker's log, then retry it by hand."
)


def is_free() -> ColumnElement[bool]:
    """Return the condition on `jobs` for what may be claimed now: due, and nobody's."""
    return and_(
        Job.state.in_((JobState.QUEUED, JobState.RUNNING)),
        Job.next_run_at_ms <= now_ms(),
        or_(Job.lease_until_ms.is_(None), Job.lease_until_ms < now_ms()),
    )


def is_unsuspected() -> ColumnElement[bool]:
    """Return the condition on `jobs` that no attempt of it has ended without a word."""
    return and_(Job.state == JobState.QUEUED, Job.crashes == 0, Job.is_suspect == false())


def claiming(*conditions: ColumnElement[bool]) -> Update:
    """Return the UPDATE that begins attempts of free jobs: :the_token, :the_size and :the_lease_ms.

    A job that is still running has crashed. Was it in a batch, any member may be to blame: it loses no
    attempt, and is tried alone from now on.
    """
    has_crashed = Job.state == JobState.RUNNING
    was_in_batch = and_(has_crashed, Job.batch_size > 1)
    return (
        update(Job.__table__)  # type: ignore[arg-type]
        .where(is_free(), *conditions)
        # MySQL assigns from left to right and reads what it has just written: state goes last.
        .ordered_values(
            (Job.crashes, Job.crashes + case((was_in_batch, 0), (has_crashed, 1), else_=0)),
            (Job.attempts, Job.attempts + case((was_in_batch, 0), else_=1)),
            (Job.is_suspect, case((has_crashed, true()), else_=Job.is_suspect)),
            (Job.batch_size, bindparam("the_size", type_=Integer)),
            (Job.state, JobState.RUNNING),
            (Job.lease_token, bindparam("the_token")),
            (Job.lease_until_ms, now_ms() + bindparam("the_lease_ms", type_=BigInteger)),
            (Job.started_at_ms, now_ms()),
            (Job.progress_done, 0),
            (Job.progress_total, None),
        )
    )


# Built once: these run for every picture, and building takes longer than running.
_THIS = Job.id == bindparam("the_id")
_CLAIM = claiming(_THIS, or_(Job.state == JobState.QUEUED, Job.crashes < CRASHES_ALLOWED - 1))
_CLAIM_UNSUSPECTED = claiming(_THIS, is_unsuspected())
_FINISH = (
    update(Job.__table__)  # type: ignore[arg-type]
    .where(Job.id == bindparam("the_id"), Job.lease_token == bindparam("the_token"))
    .values(
        state=JobState.DONE,
        finished_at_ms=now_ms(),
        last_error=None,
        error_code=None,
        lease_token=None,
        lease_until_ms=None,
    )
)


def claim(
    session: Session,
    job_id: int,
    lease_s: int = LEASE_S,
    *,
    holder: str = "",
    only_unsuspected: bool = False,
) -> Job | None:
    """Take a due job for this attempt, or return None; commit before touching its subject.

    A job whose lease ran out while it was running ended without a word: that counts as a crash. The
    attempt that would be the last of CRASHES_ALLOWED is not claimed, see `quarantine_if_crashing`.

    Args:
        session: a transaction of its own.
        job_id: the job that a message named; an unknown one is not claimed.
        lease_s: how long the attempt stays ours without being renewed.
        holder: at most 16 characters that begin the token and say which process holds it.
        only_unsuspected: leave jobs alone that have crashed before.
    """
    token = new_token(holder)
    claimed = count_changed(
        session,
        _CLAIM_UNSUSPECTED if only_unsuspected else _CLAIM,
        {"the_id": job_id, "the_token": token, "the_lease_ms": lease_s * 1000, "the_size": 1},
    )
    return session.get_one(Job, job_id, populate_existing=True) if claimed else None


def new_token(holder: str) -> str:
    """Return a lease token of 32 characters that begins with at most 16 of its holder."""
    return (holder + secrets.token_hex(16))[:32]


def quarantine_if_crashing(session: Session, job_id: int, kinds: Kinds) -> None:
    """Quarantine a due job that has ended CRASHES_ALLOWED attempts without a word; leave others alone."""
    crashing = (
        Job.id == job_id,
        is_free(),
        Job.state == JobState.RUNNING,
        Job.crashes >= CRASHES_ALLOWED - 1,
    )
    job = session.execute(select(Job).where(*crashing)).scalar_one_or_none()
    if job is None:
        return
    kind = kind_of(kinds, job.kind)
    _lock_subject(session, job, kind)
    if count_changed(
        session,
        update(Job)
        .where(*crashing)
        .values(
            state=JobState.QUARANTINED,
            crashes=Job.crashes + 1,
            last_error=QUARANTINE_REASON,
            error_code=WORKER_DIED,
            finished_at_ms=now_ms(),
            lease_token=None,
            lease_until_ms=None,
        ),
    ):
        _give_up_subject(session, job, kind, QUARANTINE_REASON)


def is_suspect(session: Session, job_id: int) -> bool:
    """Return whether a due job has ended an attempt without a word: it may be what kills workers."""
    query = select(Job.id).where(Job.id == job_id, is_free(), not_(is_unsuspected()))
    return session.execute(query).first() is not None


def renew(session: Session, held: Mapping[int, str], lease_s: int = LEASE_S) -> set[int]:
    """Prolong leases, given as token by job id, and return the ids that are still ours."""
    if not held:
        return set()
    ours = (Job.id.in_(list(held)), Job.lease_token.in_(list(held.values())))
    count_changed(
        session, update(Job).where(*ours).values(lease_until_ms=now_ms() + lease_s * 1000)
    )
    return set(session.execute(select(Job.id).where(*ours)).scalars())


def report_progress(
    session: Session, job_id: int, token: str, done: int, total: int | None
) -> None:
    """Record how far the attempt has come; `total` is None while unknown. Raises LeaseLost."""
    _update_mine(session, job_id, token, progress_done=done, progress_total=total)


def finish(session: Session, job_id: int, token: str) -> None:
    """Record that the work is done, in the transaction that writes its result. Raises LeaseLost."""
    if not count_changed(session, _FINISH, {"the_id": job_id, "the_token": token}):
        raise _lease_lost(job_id)


def finish_alone(runtime: Runtime, attempt: Attempt) -> None:
    """Record that the work is done, in a transaction of its own. Raises LeaseLost."""
    with runtime.transaction() as session:
        finish(session, attempt.job.id, attempt.token)


def fail(session: Session, job_id: int, token: str, error: BaseException, kind: Kind) -> JobState:
    """Record an attempt's error; the job waits for its next attempt, or has failed for good.

    What is HOPELESS is final at once, but not a picture that does not decode: every pixel was decoded
    when it came in, so here the machine is suspected. What asks for time (`retry_after_s`) gets it;
    what is Deferred is never final, and its attempt is given back. Attempts that crashed are counted
    on their own and take none of the policy's attempts away.

    Returns:
        QUEUED or FAILED.

    Raises:
        LeaseLost: another attempt has begun, or the job is gone.
    """
    job = session.get(Job, job_id, populate_existing=True)
    if job is None or job.lease_token != token:
        raise _lease_lost(job_id)
    policy = kind.retry_policy
    errors = job.attempts - job.crashes
    is_deferred = isinstance(error, Deferred)
    is_final = not is_deferred and (is_hopeless(error) or errors >= policy.max_attempts)
    reason = reason_of(error)
    if not is_final:
        wait_ms = int(policy.wait_s(error, errors) * 1000)
        _update_mine(
            session,
            job_id,
            token,
            state=JobState.QUEUED,
            attempts=Job.attempts - (1 if is_deferred else 0),
            next_run_at_ms=now_ms() + wait_ms,
            rung_at_ms=None,
            last_error=reason,
            error_code=code_of(error),
            lease_token=None,
            lease_until_ms=None,
        )
        return JobState.QUEUED
    _lock_subject(session, job, kind)
    _update_mine(
        session,
        job_id,
        token,
        state=JobState.FAILED,
        finished_at_ms=now_ms(),
        last_error=reason,
        error_code=code_of(error),
        lease_token=None,
        lease_until_ms=None,
    )
    _give_up_subject(session, job, kind, reason)
    return JobState.FAILED


def release(session: Session, job_id: int, token: str) -> None:
    """Give the attempt back unused, because this process is asked to stop. Raises LeaseLost."""
    _update_mine(
        session,
        job_id,
        token,
        state=JobState.QUEUED,
        attempts=Job.attempts - 1,
        next_run_at_ms=now_ms(),
        rung_at_ms=None,
        lease_token=None,
        lease_until_ms=None,
    )


def _update_mine(session: Session, job_id: int, token: str, **values: Any) -> None:
    mine = update(Job).where(Job.id == job_id, Job.lease_token == token).values(**values)
    if not count_changed(session, mine):
        raise _lease_lost(job_id)


def _lease_lost(job_id: int) -> LeaseLost:
    return LeaseLost(f"Job {job_id} belongs to another attempt now; this one's result is void.")


def _lock_subject(session: Session, job: Job, kind: Kind) -> None:
    if job.subject_id is not None:
        kind.subject_rules.lock(session, job.subject_id)


def _give_up_subject(session: Session, job: Job, kind: Kind, reason: str) -> None:
    if job.subject_id is not None:
        kind.subject_rules.give_up(session, job.subject_id, reason)
