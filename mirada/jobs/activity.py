"""Activity: the work that one person sees, as a page shows it. Only reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from mirada.db.models import Job, JobState
from mirada.db.pages import newest_first
from mirada.jobs.kinds import Kinds, kind_of
from mirada.jobs.ledger import GIVEN_UP, may_see
from mirada.jobs.reports import JobReport, reports_of
from mirada.jobs.summary import DAY_MS, ENDED_WELL, Summary, summarise
from mirada.people.identity import Person

MOST_RUNNING, MOST_WAITING, MOST_FAILED, MOST_ENDED = 50, 5, 20, 10
"""Jobs of each list: what a page can show and a reader can take in."""


@dataclass(frozen=True, slots=True)
class Activity:
    """The work that a person sees.

    Attributes:
        summary: all of it in numbers.
        running: the longest at work first.
        waiting: those whose turn comes next.
        failed: the newest first, quarantined ones included.
        failed_before: the id below which the next page of failed ones begins; None for the last page.
        ended: those that were done or cancelled within 24 hours, the newest end first.
    """

    summary: Summary
    running: Sequence[JobReport]
    waiting: Sequence[JobReport]
    failed: Sequence[JobReport]
    failed_before: int | None
    ended: Sequence[JobReport]


def activity(
    session: Session, viewer: Person, kinds: Kinds, failed_before: int | None = None
) -> Activity:
    """Return the work that the viewer sees: their own; an administrator sees all.

    Args:
        session: reads only.
        viewer: who asks.
        kinds: for titles, and for what is told of the jobs' subjects.
        failed_before: failed jobs with smaller ids alone; None begins with the newest.
    """
    summary = summarise(session, viewer, kinds)
    own = select(Job).where(may_see(viewer))
    running = own.where(Job.state == JobState.RUNNING).order_by(Job.started_at_ms, Job.id)
    waiting = own.where(Job.state == JobState.QUEUED).order_by(Job.next_run_at_ms, Job.id)
    failed = newest_first(
        own.where(Job.state.in_(GIVEN_UP)), Job.id, failed_before, MOST_FAILED + 1
    )
    ended = own.where(
        # Whatever ends is written then: the index on this column finds it.
        Job.changed_at_ms > summary.at_ms - DAY_MS,
        Job.state.in_(ENDED_WELL),
    ).order_by(Job.changed_at_ms.desc(), Job.id.desc())
    lists = [
        _rows(session, running.limit(MOST_RUNNING)),
        _rows(session, waiting.limit(MOST_WAITING)),
        _rows(session, failed),
        _rows(session, ended.limit(MOST_ENDED)),
    ]
    left = lists[2][:MOST_FAILED]
    following = left[-1].id if len(lists[2]) > MOST_FAILED else None
    lists[2] = left
    # What is told of the images is asked for all of them at once.
    every = [job for jobs in lists for job in jobs]
    told = {
        report.job.id: report for report in reports_of(session, every, summary.at_ms, viewer, kinds)
    }
    shown = [[told[job.id] for job in jobs] for jobs in lists]
    return Activity(summary, shown[0], shown[1], shown[2], following, shown[3])


def _rows(session: Session, query: Select[Job]) -> list[Job]:
    return list(session.execute(query).scalars())


def may_be_cancelled(report: JobReport, kinds: Kinds) -> bool:
    """Return whether a job's kind lets people end it while it waits or runs."""
    kind = kind_of(kinds, report.job.kind)
    is_begun_together = report.job.state == JobState.RUNNING and kind.together is not None
    return kind.why_not_cancelled is None and not is_begun_together
