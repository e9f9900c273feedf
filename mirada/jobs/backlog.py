"""The numbers that operators see of the database: work that is not done, the last change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.models import Job, JobState
from mirada.db.session import now_ms
from mirada.jobs.ledger import GIVEN_UP, UNFINISHED

STATES = (*UNFINISHED, *GIVEN_UP)
"""Done jobs are kept for good: to count them would cost more every month."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The work that is not done.

    Attributes:
        jobs: how many there are by kind and state; zeros included, for the kinds asked for and STATES.
        longest_wait_s: how long the oldest due job has waited for a worker; 0 when none waits.
    """

    jobs: Mapping[tuple[str, str], int]
    longest_wait_s: float


def backlog(session: Session, kinds: Iterable[str]) -> Backlog:
    """Count the jobs that wait, run or were given up; these kinds also where there are none."""
    counts = {(kind, str(state)): 0 for kind in kinds for state in STATES}
    rows = session.execute(
        select(Job.kind, Job.state, func.count())
        .where(Job.state.in_(STATES))
        .group_by(Job.kind, Job.state)
    )
    counts |= {(kind, str(state)): int(count) for kind, state, count in rows}
    waited_ms = session.execute(
        select(now_ms() - func.min(Job.next_run_at_ms)).where(Job.state == JobState.QUEUED)
    ).scalar_one()
    # What is to be tried again later waits for its time, not for a worker.
    return Backlog(counts, max(0.0, float(waited_ms or 0) / 1000))


def change_seq(session: Session) -> int:
    """Return the number of the last committed change."""
    return changes.current_seq(session)
