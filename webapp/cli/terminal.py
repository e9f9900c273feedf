"""Shared by all commands: the runtime, errors as sentences, progress bars."""

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
LOOK_EVERY_S = 0.5
NOBODY_WORKS_AFTER_S = 5.0
"""A server looks for due jobs twice a second, so one that waits longer waits for a server."""
NOBODY_WORKS = (
    "Nobody works on it yet. It begins when a server (make run) or a worker (python -m workers) "
    "runs on this database."
)

__all__ = [
    "AppGroup",
    "Bar",
    "command_errors",
    "console",
    "current_runtime",
    "enqueue",
    "follow",
    "follow_missing",
    "pinned_anew",
]


def console() -> Console:
    """Return the terminal to write to: standard output, without markup or guessed colours in values."""
    return Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)


def command_errors(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Return the command in the app's context; errors of the core become a sentence and exit code 1."""

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
        old = None if retired is None else retired.to_space()
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


class Bar:
    """A progress bar on standard output, gone once it is left; use it in a `with` block."""

    def __init__(self, title: str, total: int | None = None) -> None:
        """Prepare the bar; a total of None is not known yet."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console(), transient=True)
        self._task = self._progress.add_task(title, total=total)
        self._began_s = time.monotonic()
        self._is_told = False

    def __enter__(self) -> Bar:
        """Draw the bar."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self._progress.stop()

    def show(self, done: int, total: int | None = None) -> None:
        """Show how much is done; a total of None leaves the one that is shown."""
        self._progress.update(self._task, completed=done, total=total)

    def tell_if_untouched(self, is_untouched: bool) -> None:
        """Print once, after a few seconds, that no worker has begun."""
        is_late = time.monotonic() - self._began_s > NOBODY_WORKS_AFTER_S
        if is_untouched and is_late and not self._is_told:
            self._is_told = True
            self._progress.console.print(NOBODY_WORKS)


def follow_missing(title: str, total: int, look: Callable[[], tuple[int, bool]]) -> int:
    """Show how many of `total` are done until all are or no job is left; return how many are missing.

    Args:
        title: of the bar.
        total: how many were missing at first.
        look: returns how many are missing now, and whether any job may still do them.
    """
    with Bar(title, total) as bar:
        while True:
            missing, is_any_due = look()
            bar.show(max(total - missing, 0))
            if missing == 0 or not is_any_due:
                return missing
            time.sleep(LOOK_EVERY_S)


def follow(runtime: Runtime, job_id: int, title: str) -> JobReport:
    """Show a job's progress until it ends; Ctrl-C leaves the job running.

    Raises:
        click.ClickException: the job was given up; the message says why.
    """
    with Bar(title) as bar:
        while True:
            with runtime.transaction() as session:
                report = ledger.get_job(session, job_id, users.local_user(session), KINDS)
            job = report.job
            bar.show(job.progress_done, job.progress_total)
            if job.state in ledger.FINAL:
                break
            bar.tell_if_untouched(job.started_at_ms is None)
            time.sleep(POLL_EVERY_S)
    if job.state in ledger.GIVEN_UP:
        raise click.ClickException(f"Job {job.id} {job.state}: {job.last_error}")
    return report
