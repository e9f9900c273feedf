"""Sweeping the ledger: find due jobs, free the leases of dead processes, delete what is old."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import and_, delete, exists, not_, or_, select, update
from sqlalchemy.orm import Session

from mirada.db.idempotency import KEPT_FOR
from mirada.db.models import IdempotencyKey, Job, JobState, utc_now
from mirada.db.session import count_changed, now_ms
from mirada.db.spending_models import CallState, LanguageModelCall
from mirada.jobs.attempts import is_free, is_unsuspected

MAX_RINGS = 200
RING_AGAIN_AFTER_S = 60
"""research, reliability 1.3: a slow day must not pile up messages, so each job rings once a minute."""
PURGE_ROWS = 500
"""Rows deleted per transaction: short locks, and fewer parameters than any SQLite takes."""
LONGEST_CALL_MS = 3_600_000
"""The longest that a call outside a job may take; after that its process is gone."""


@dataclass(frozen=True, slots=True)
class DueJob:
    """A job that may be claimed now."""

    id: int
    kind: str


def due_jobs(
    session: Session, limit: int = MAX_RINGS, *, batched: Collection[str] = ()
) -> list[DueJob]:
    """Return jobs that may be claimed now, oldest first; rung or not.

    Args:
        session: reads only.
        limit: at most so many.
        batched: kinds of which only those are returned that must be tried alone.
    """
    query = select(Job.id, Job.kind).where(is_free())
    if batched:
        query = query.where(or_(Job.kind.not_in(batched), not_(is_unsuspected())))
    rows = session.execute(query.order_by(Job.next_run_at_ms, Job.id).limit(limit))
    return [DueJob(job_id, kind) for job_id, kind in rows]


def due_jobs_to_ring(
    session: Session,
    limit: int = MAX_RINGS,
    *,
    ring_again_after_s: int = RING_AGAIN_AFTER_S,
) -> list[DueJob]:
    """Return due jobs to ring for, oldest first, and record that they were rung now.

    Args:
        session: a transaction; ring after its commit.
        limit: at most so many.
        ring_again_after_s: leave out jobs that were rung for more recently; 0 when the messages are
            known to be lost.
    """
    rung_before = now_ms() - ring_again_after_s * 1000
    rows = session.execute(
        select(Job.id, Job.kind)
        .where(is_free(), or_(Job.rung_at_ms.is_(None), Job.rung_at_ms <= rung_before))
        .order_by(Job.next_run_at_ms, Job.id)
        .limit(limit)
    ).all()
    if rows:
        rung = update(Job).where(Job.id.in_([row.id for row in rows]))
        count_changed(session, rung.values(rung_at_ms=now_ms()))
    return [DueJob(row.id, row.kind) for row in rows]


def free_dead_attempts(session: Session, is_dead: Callable[[str], bool]) -> int:
    """End the leases of running jobs whose holder is known to be dead, and return how many.

    The job stays `running`, so that whoever claims it next counts the crash.

    Args:
        session: a transaction.
        is_dead: told a lease token; true only when its process cannot be alive.
    """
    running = session.execute(
        select(Job.id, Job.lease_token).where(
            Job.state == JobState.RUNNING, Job.lease_until_ms >= now_ms()
        )
    ).all()
    dead = [(row.id, row.lease_token) for row in running if is_dead(row.lease_token or "")]
    for job_id, token in dead:
        its_lease = update(Job).where(Job.id == job_id, Job.lease_token == token)
        count_changed(session, its_lease.values(lease_until_ms=0, rung_at_ms=None))
    return len(dead)


def purge_idempotency_keys(session: Session) -> int:
    """Delete the oldest keys that no client repeats any more, and return how many."""
    old = session.execute(
        select(IdempotencyKey.id)
        .where(IdempotencyKey.created_at < utc_now() - KEPT_FOR)
        .limit(PURGE_ROWS)
    ).scalars()
    return count_changed(session, delete(IdempotencyKey).where(IdempotencyKey.id.in_(list(old))))


def give_up_lost_calls(session: Session) -> int:
    """Mark reserved calls of a language model whose attempt is over as unknown, and return how many.

    They go on counting at the most they can have cost.
    """
    is_held = exists().where(
        Job.id == LanguageModelCall.job_id,
        Job.state == JobState.RUNNING,
        Job.lease_token == LanguageModelCall.lease_token,
        Job.lease_until_ms >= now_ms(),
    )
    is_lost = or_(
        and_(LanguageModelCall.job_id.is_not(None), ~is_held),
        LanguageModelCall.created_at_ms < now_ms() - LONGEST_CALL_MS,
    )
    # Read first: most sweeps find nothing, and then lock nothing.
    lost = session.execute(
        select(LanguageModelCall.id)
        .where(LanguageModelCall.state == CallState.RESERVED, is_lost)
        .limit(PURGE_ROWS)
    ).scalars()
    return count_changed(
        session,
        update(LanguageModelCall)
        .where(LanguageModelCall.id.in_(list(lost)), LanguageModelCall.state == CallState.RESERVED)
        .values(
            state=CallState.UNKNOWN,
            finished_at_ms=now_ms(),
            failure="worker_lost",
            detail="Whoever asked did not live to see the answer, which may have been paid for.",
        ),
    )


def forget_rings(session: Session, job_ids: list[int]) -> None:
    """Record that these jobs were not rung for after all."""
    count_changed(session, update(Job).where(Job.id.in_(job_ids)).values(rung_at_ms=None))
