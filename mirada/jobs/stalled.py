"""Whether due work waits although nobody works: what an operator must hear, whatever the queue says."""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from mirada.db.models import Job, JobState
from mirada.db.session import now_ms
from mirada.jobs.attempts import LEASE_S, is_free

PATIENCE_S = 30
"""CONTRACT, F: a job due so long, and none claimed or finished meanwhile, is a fault."""


def stalled_s(session: Session) -> float | None:
    """Return how many seconds the oldest due job has waited while nobody worked; None while all is well.

    A living worker claims jobs, finishes them, or renews the lease of a long one: any of the three
    within PATIENCE_S is work, however long the queue is.
    """
    due_ms = session.scalar(
        select(func.min(_due_since())).where(
            is_free(), Job.next_run_at_ms <= now_ms() - PATIENCE_S * 1000
        )
    )
    if due_ms is None or session.scalar(select(_is_worked_on())):
        return None
    # The last question reads every job, so it comes last.
    if session.scalar(select(_was_worked_on())):
        return None
    now = session.scalar(select(now_ms())) or due_ms
    waited_s = (now - due_ms) / 1000
    return waited_s if waited_s >= PATIENCE_S else None


def _due_since() -> ColumnElement[int]:
    """Return the time since which a job may be claimed: its own, or the end of a lost lease."""
    return func.coalesce(Job.lease_until_ms, Job.next_run_at_ms)


def _is_worked_on() -> ColumnElement[bool]:
    renewed_after_ms = now_ms() + (LEASE_S - PATIENCE_S) * 1000
    return exists().where(
        Job.state == JobState.RUNNING,
        Job.lease_until_ms >= now_ms(),
        or_(Job.lease_until_ms > renewed_after_ms, Job.started_at_ms > _lately()),
    )


def _was_worked_on() -> ColumnElement[bool]:
    return exists().where(or_(Job.started_at_ms > _lately(), Job.finished_at_ms > _lately()))


def _lately() -> ColumnElement[int]:
    return now_ms() - PATIENCE_S * 1000
