"""Waking jobs that wait for something else than their time: a slot, or money."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from mirada.db.models import Job, JobState
from mirada.db.session import count_changed, now_ms

if TYPE_CHECKING:
    from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

RACES = 5
"""The most times that another caller may wake the very job that was found, before none is woken."""
BUDGETS = "_DAILY_BUDGET_USD"
"""Stands in the error of every job that waits for money."""


def wake_next(session: Session, kind: str, reason: str) -> int | None:
    """Make the job due that has waited longest for a reason, and return its id; None for none.

    Each call wakes another one, however many are made at once. Ring after the commit.
    """
    for _ in range(RACES):
        waiting = session.execute(
            select(Job.id, Job.next_run_at_ms)
            .where(_is_waiting(), Job.kind == kind, Job.last_error == reason)
            .order_by(Job.next_run_at_ms, Job.id)
            .limit(1)
        ).first()
        if waiting is None:
            return None
        woken = _wake(session, Job.id == waiting.id, Job.next_run_at_ms == waiting.next_run_at_ms)
        if woken:
            return int(waiting.id)
    return None


def wake_unpaid(session: Session) -> int:
    """Make jobs due that wait for another day's budget, and return how many they are.

    The budget may be another by now. Where it is not they wait again, and none loses an attempt.
    """
    return _wake(session, Job.last_error.contains(BUDGETS, autoescape=True))


def wake_unpaid_at_start(runtime: Runtime) -> None:
    """Wake the jobs that wait for money, in a transaction of their own. Raises Unavailable."""
    with runtime.transaction() as session:
        count = wake_unpaid(session)
    if count:
        logger.info(
            "%s jobs that wait for another day's budget look again whether it suffices", count
        )


def _is_waiting() -> ColumnElement[bool]:
    return (Job.state == JobState.QUEUED) & (Job.next_run_at_ms > now_ms())


def _wake(session: Session, *conditions: ColumnElement[bool]) -> int:
    woken = update(Job).where(_is_waiting(), *conditions)
    return count_changed(session, woken.values(next_run_at_ms=now_ms(), rung_at_ms=None))
