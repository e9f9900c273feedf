"""What all commands share: the runtime, errors as sentences, and following a job to its end."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import click
from flask.cli import AppGroup, with_appcontext
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mirada.db import spaces
from mirada.jobs import ledger
from mirada.jobs.ledger import JobReport
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import MiradaError
from mirada.people import users
from mirada.runtime import Runtime
from webapp.http.current import current_runtime
from workers.kinds import KINDS

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

POLL_EVERY_S = 0.3
NOBODY_WORKS_AFTER_S = 5.0
"""A server looks for due jobs twice a second, so one that waits longer waits for a server."""
NOBODY_WORKS = (
    "Nobody works on it yet. It begins when a server (make run) or a worker (python -m workers) "
    "runs on this database."
)

__all__ = [
    "AppGroup",
    "command_errors",
    "console",
    "current_runtime",
    "enqueue",
    "follow",
    "pinned_anew",
]


def console() -> Console:
    """Return the terminal to write to: standard output, without markup or guessed colours in values."""
    return Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)


def command_errors(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Turn errors on purpose into one sentence and exit code 1, and give the app's context."""

    @functools.wraps(command)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except MiradaError as error:
            raise click.ClickException(error.detail) from error

    return with_appcontext(guarded)


def pinned_anew(
    runtime: Runtime, kind: SpaceKind, choose: Callable[[], EmbeddingSpace]
) -> EmbeddingSpace | None:
    """Let `choose` pin another space of a kind, and return it; None when it is the old one again.

    Whatever `choose` raises is raised here, and what was in use stays in use.
    """
    with runtime.transaction() as session:
        retired = spaces.retire_space(session, kind)
        old = None if retired is None else retired.to_domain()
    try:
        space = choose()
    except MiradaError:
        if old is not None:
            with runtime.transaction() as session:
                spaces.pin_space(session, old)
        raise
    if space == old:
        console().print(f"{space.name} is in use already.")
        return None
    return space


def enqueue(runtime: Runtime, kind: str, **fields: Any) -> int:
    """Queue a job, ring for it, and return its id."""
    with runtime.transaction() as session:
        job_id = ledger.enqueue(session, kind, **fields).id
    runtime.doorbell.ring(job_id, kind)
    return job_id


def follow(runtime: Runtime, job_id: int, title: str) -> JobReport:
    """Show a job's progress until it ends; Ctrl-C leaves the job running.

    Raises:
        click.ClickException: the job was given up; the message says why.
    """
    began = time.monotonic()
    is_told = False
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task(title, total=None)
        while True:
            with runtime.transaction() as session:
                report = ledger.get_job(session, job_id, users.local_user(session), KINDS)
            job = report.job
            bar.update(task, completed=job.progress_done, total=job.progress_total)
            if job.state in ledger.FINAL:
                break
            waits = job.started_at_ms is None and time.monotonic() - began > NOBODY_WORKS_AFTER_S
            if waits and not is_told:
                is_told = True
                bar.console.print(NOBODY_WORKS)
            time.sleep(POLL_EVERY_S)
    if job.state in ledger.GIVEN_UP:
        raise click.ClickException(f"Job {job.id} {job.state}: {job.last_error}")
    return report
