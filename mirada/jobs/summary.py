"""The work in numbers, by kind, as one person sees it; and whether a worker is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import and_, case, func, not_, select
from sqlalchemy.orm import Session

from mirada.db.models import Job, JobState
from mirada.db.session import now_ms
from mirada.jobs import leases
from mirada.jobs.kinds import Kinds
from mirada.jobs.ledger import GIVEN_UP, NOT_DONE, UNFINISHED, may_see
from mirada.jobs.reports import title_of
from mirada.people.identity import Person

DAY_MS = 86_400_000
RECENT_MS = 60_000
"""The rate of a kind is measured over the last minute."""
ENDED_WELL = (JobState.DONE, JobState.CANCELLED)
Counts = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class KindSummary:
    """The jobs of one kind.

    Attributes:
        kind, title: its name for machines, and for people.
        queued, running, failed: how many there are; quarantined ones count as failed.
        rate_per_s: how many ended well per second, over the last minute; None for none.
        eta_s: seconds until those that wait or run are done at that rate; None while it cannot be told.
    """

    kind: str
    title: str
    queued: int
    running: int
    failed: int
    rate_per_s: float | None
    eta_s: float | None


class Ended(NamedTuple):
    """The jobs of one kind that ended well within 24 hours, and the done ones of the last minute."""

    done: int
    lately_done: int
    cancelled: int


NONE_ENDED = Ended(0, 0, 0)


@dataclass(frozen=True, slots=True)
class WorkerState:
    """Whether a worker is there.

    Attributes:
        alive: one has been heard of within the last 25 s.
        seen_at_ms: when one was heard of last, Unix milliseconds; None for never.
    """

    alive: bool
    seen_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The jobs that a person sees.

    Attributes:
        at_ms: when it was read, Unix milliseconds of the database's clock.
        done_24h, cancelled_24h: how many were done, and how many cancelled, within the last 24 hours.
        oldest_queued_s: for how many seconds the oldest due job has waited; None where none waits.
        worker: of the installation, for everybody.
        kinds: those with jobs that are not done, by name.
    """

    at_ms: int
    queued: int
    running: int
    failed: int
    done_24h: int
    cancelled_24h: int
    oldest_queued_s: float | None
    worker: WorkerState
    kinds: list[KindSummary]


def summarise(session: Session, viewer: Person | None, kinds: Kinds) -> Summary:
    """Return the work that the viewer sees in numbers: their own; an administrator sees all.

    Args:
        session: reads only, four statements.
        viewer: who asks; None sees none.
        kinds: for their titles.
    """
    now = session.execute(select(now_ms())).scalar_one()
    own = may_see(viewer)
    rows = session.execute(
        select(Job.kind, Job.state, func.count(), func.min(Job.next_run_at_ms))
        .where(own, Job.state.in_(NOT_DONE))
        .group_by(Job.kind, Job.state)
    ).all()
    counts = {(kind, str(state)): int(count) for kind, state, count, _ in rows}
    due = [first for _, state, _, first in rows if state == JobState.QUEUED and first <= now]
    ended = _ended(session, viewer, now)
    return Summary(
        at_ms=now,
        queued=_sum(counts, (JobState.QUEUED,)),
        running=_sum(counts, (JobState.RUNNING,)),
        failed=_sum(counts, GIVEN_UP),
        done_24h=sum(each.done for each in ended.values()),
        cancelled_24h=sum(each.cancelled for each in ended.values()),
        oldest_queued_s=(now - min(due)) / 1000 if due else None,
        worker=worker_state(session),
        kinds=[
            _of_kind(kind, title_of(kinds, kind), counts, ended.get(kind, NONE_ENDED).lately_done)
            for kind in sorted({kind for kind, _ in counts})
        ],
    )


def worker_state(session: Session) -> WorkerState:
    """Return whether a worker is there: each of them sweeps, or waits to, while it lives."""
    return WorkerState(
        leases.is_held(session, leases.SWEEPER),
        leases.last_renewed_ms(session, leases.SWEEPER, leases.SWEEPER_LEASE_S),
    )


def _ended(session: Session, viewer: Person | None, now: int) -> dict[str, Ended]:
    """Return by kind what ended well within 24 hours."""
    is_done = Job.state == JobState.DONE
    lately = and_(is_done, Job.finished_at_ms > now - RECENT_MS)
    counts = (is_done, lately, not_(is_done))
    rows = session.execute(
        select(Job.kind, *(func.sum(case((each, 1), else_=0)) for each in counts))
        .where(
            may_see(viewer),
            # Whatever ends is written then: the index on this column finds it.
            Job.changed_at_ms > now - DAY_MS,
            Job.state.in_(ENDED_WELL),
            Job.finished_at_ms > now - DAY_MS,
        )
        .group_by(Job.kind)
    )
    return {kind: Ended(*(int(each or 0) for each in counted)) for kind, *counted in rows}


def _sum(counts: Counts, states: Iterable[JobState], kind: str | None = None) -> int:
    wanted = {str(state) for state in states}
    return sum(
        count for (of, state), count in counts.items() if state in wanted and kind in (None, of)
    )


def _of_kind(kind: str, title: str, counts: Counts, recent: int) -> KindSummary:
    rate = recent * 1000 / RECENT_MS
    left = _sum(counts, UNFINISHED, kind)
    return KindSummary(
        kind=kind,
        title=title,
        queued=_sum(counts, (JobState.QUEUED,), kind),
        running=_sum(counts, (JobState.RUNNING,), kind),
        failed=_sum(counts, GIVEN_UP, kind),
        rate_per_s=rate or None,
        eta_s=left / rate if rate and left else None,
    )
