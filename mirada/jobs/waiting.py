"""Jobs that wait for something else than their own time, woken when it comes."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, select, update
from sqlalchemy.orm import Session

from mirada.db.models import Job, JobState
from mirada.db.session import now_ms

RACES = 5
"""So often somebody else may wake the very job that was found, before nobody is woken."""
BUDGETS = "_DAILY_BUDGET_USD"
"""Stands in what every job says that waits for money."""


def wake_next(session: Session, kind: str, reason: str) -> int | None:
    """Make the job due that has waited longest for that reason, and return its id; None: there is none.

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


def wake_what_waits_for_money(session: Session) -> int:
    """Make due what waits for another day's budget, and return how many: the budget may be another.

    Where it is not, they find out and wait again; none loses an attempt by it.
    """
    return _wake(session, Job.last_error.contains(BUDGETS, autoescape=True))


def _is_waiting() -> ColumnElement[bool]:
    return (Job.state == JobState.QUEUED) & (Job.next_run_at_ms > now_ms())


def _wake(session: Session, *conditions: ColumnElement[bool]) -> int:
    result = session.execute(
        update(Job)
        .where(_is_waiting(), *conditions)
        .values(next_run_at_ms=now_ms(), rung_at_ms=None)
        .execution_options(synchronize_session=False)
    )
    return cast("CursorResult[Any]", result).rowcount
