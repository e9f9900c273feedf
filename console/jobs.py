"""`mirada jobs`: list jobs, show failures, retry, cancel."""

from __future__ import annotations

import click

from console.site import Group, current_runtime
from console.terminal import all_rows, console, print_table
from mirada.jobs import cancelling, ledger
from mirada.jobs.ledger import GIVEN_UP, JobReport
from mirada.people import users
from workers.kinds import KINDS

group = Group("jobs", help="Work in the background: list it, see failures, retry, cancel.")


@group.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--kind", default=None, help="Only this kind of job.")
def list_jobs(limit: int, kind: str | None) -> None:
    """Show the newest jobs, and how many are in each state."""
    with current_runtime().transaction() as session:
        viewer = users.local_user(session)
        reports = ledger.list_jobs(session, viewer, KINDS, kind=kind, limit=limit)
        counts = ledger.count_by_state(session)
    _show(reports)
    console().print(", ".join(f"{count} {state}" for state, count in counts.items()))


@group.command("failed")
@click.option("--limit", default=200, show_default=True, type=click.IntRange(1, 10_000))
def failed(limit: int) -> None:
    """Show jobs that were given up, with the reason."""
    with current_runtime().transaction() as session:
        viewer = users.local_user(session)
        reports = ledger.list_jobs(session, viewer, KINDS, states=GIVEN_UP, limit=limit)
    if not reports:
        console().print("No job has failed.")
    else:
        _show(reports)


@group.command("retry")
@click.argument("job_id", type=int, required=False)
@click.option("--all-failed", is_flag=True, help="Retry every failed and quarantined job.")
def retry(job_id: int | None, all_failed: bool) -> None:
    """Queue a job that was given up afresh."""
    if (job_id is None) == (not all_failed):
        raise click.UsageError("Name one job, or say --all-failed.")
    runtime = current_runtime()
    with runtime.transaction() as session:
        viewer = users.local_user(session)
    given_up = all_rows(
        lambda session, cursor, limit: ledger.list_jobs(
            session, viewer, KINDS, states=GIVEN_UP, cursor=cursor, limit=limit
        ),
        lambda report: report.job.id,
    )
    job_ids = [report.job.id for report in given_up] if job_id is None else [job_id]
    for each in job_ids:
        with runtime.transaction() as session:
            job = ledger.retry_job(session, each, viewer, KINDS)
        runtime.doorbell.ring(job.id, job.kind)
    what = f"{len(job_ids)} jobs are" if job_id is None else f"Job {job_id} is"
    console().print(f"{what} queued again.")


@group.command("cancel")
@click.argument("job_id", type=int)
def cancel(job_id: int) -> None:
    """End a job that waits or runs; `jobs retry` takes it up again."""
    runtime = current_runtime()
    with runtime.transaction() as session:
        viewer = users.local_user(session)
    with runtime.transaction() as session:
        cancelling.cancel_job(session, job_id, viewer, KINDS)
    console().print(f"Job {job_id} is cancelled.")


def _show(reports: list[JobReport]) -> None:
    print_table(
        ("id", "kind", "subject", "state", "attempts", "progress", "last error"),
        [
            (
                job.id,
                job.kind,
                job.subject_id,
                job.state,
                job.attempts,
                f"{job.progress_done}/{job.progress_total}" if job.progress_total else None,
                job.last_error,
            )
            for job in (report.job for report in reports)
        ],
    )
