"""`flask jobs`: list jobs, show failures, retry."""

from __future__ import annotations

import click
from rich.table import Table

from mirada.jobs import ledger
from mirada.jobs.ledger import GIVEN_UP, JobReport
from mirada.people import users
from webapp.cli.terminal import AppGroup, command_errors, console, current_runtime
from workers.kinds import KINDS

jobs_group = AppGroup("jobs", help="Work in the background: list it, see failures, retry.")
PAGE_ROWS = 200


@jobs_group.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--kind", default=None, help="Only this kind of job.")
@command_errors
def list_jobs(limit: int, kind: str | None) -> None:
    """Show the newest jobs, and how many are in each state."""
    with current_runtime().transaction() as session:
        viewer = users.local_user(session)
        reports = ledger.list_jobs(session, viewer, KINDS, kind=kind, limit=limit)
        counts = ledger.count_by_state(session)
    _show(reports)
    console().print(", ".join(f"{count} {state}" for state, count in counts.items()))


@jobs_group.command("failed")
@click.option("--limit", default=200, show_default=True, type=click.IntRange(1, 10_000))
@command_errors
def failed(limit: int) -> None:
    """Show jobs that were given up, with the reason."""
    with current_runtime().transaction() as session:
        viewer = users.local_user(session)
        reports = ledger.list_jobs(session, viewer, KINDS, states=GIVEN_UP, limit=limit)
    if not reports:
        console().print("No job has failed.")
        return
    _show(reports)


@jobs_group.command("retry")
@click.argument("job_id", type=int, required=False)
@click.option("--all-failed", is_flag=True, help="Retry every failed and quarantined job.")
@command_errors
def retry(job_id: int | None, all_failed: bool) -> None:
    """Queue a job that was given up afresh."""
    if (job_id is None) == (not all_failed):
        raise click.UsageError("Name one job, or say --all-failed.")
    if job_id is not None:
        _retry(job_id)
        console().print(f"Job {job_id} is queued again.")
        return
    count = 0
    cursor: int | None = None
    while True:
        with current_runtime().transaction() as session:
            viewer = users.local_user(session)
            page = ledger.list_jobs(
                session, viewer, KINDS, states=GIVEN_UP, cursor=cursor, limit=PAGE_ROWS
            )
        for report in page:
            _retry(report.job.id)
            count += 1
        if len(page) < PAGE_ROWS:
            break
        cursor = page[-1].job.id
    console().print(f"{count} jobs are queued again.")


def _retry(job_id: int) -> None:
    runtime = current_runtime()
    with runtime.transaction() as session:
        job = ledger.retry_job(session, job_id, users.local_user(session), KINDS)
    runtime.doorbell.ring(job.id, job.kind)


def _show(reports: list[JobReport]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "kind", "subject", "state", "attempts", "progress", "last error"):
        table.add_column(heading, overflow="fold")
    for report in reports:
        job = report.job
        progress = f"{job.progress_done}/{job.progress_total}" if job.progress_total else ""
        table.add_row(
            str(job.id),
            job.kind,
            "" if job.subject_id is None else str(job.subject_id),
            job.state,
            str(job.attempts),
            progress,
            job.last_error or "",
        )
    console().print(table)
