"""Shared by all commands: tables, lists read by pages, jobs that are followed, progress bars."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy.orm import Session

from console.site import current_runtime
from mirada.db import spaces
from mirada.jobs import ledger
from mirada.jobs.ledger import JobReport
from mirada.kernel.commands import command_line
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import MiradaError
from mirada.people import users
from mirada.runtime import Runtime
from workers.kinds import KINDS

Row = TypeVar("Row")

PAGE_ROWS = 200
POLL_EVERY_S = 0.3
LOOK_EVERY_S = 0.5
NOBODY_WORKS_AFTER_S = 5.0
"""A server looks for due jobs twice a second, so one that waits longer waits for a server."""


def console() -> Console:
    """Return the terminal to write to: standard output, without markup or guessed colours in values."""
    return Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    wrapping: Collection[str] | None = None,
) -> None:
    """Print rows under headings.

    Args:
        headings: of the columns.
        rows: their cells; None leaves one empty.
        wrapping: headings of columns that give way on a narrow terminal; None: of all.
    """
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        is_fixed = wrapping is not None and heading not in wrapping
        table.add_column(heading, overflow="fold", no_wrap=is_fixed)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console().print(table)


def all_rows(
    read: Callable[[Session, int | None, int], Sequence[Row]],
    row_id: Callable[[Row], int] = attrgetter("id"),
) -> Iterator[Row]:
    """Yield every row of a list; no session is open meanwhile.

    Args:
        read: returns a page; takes the id of the row before it and the most rows of it.
        row_id: returns the id of a row.
    """
    cursor: int | None = None
    while True:
        with current_runtime().reading() as session:
            page = read(session, cursor, PAGE_ROWS)
        yield from page
        if len(page) < PAGE_ROWS:
            return
        cursor = row_id(page[-1])


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


class Bar(Progress):
    """A progress bar on standard output, gone once it is left; use it in a `with` block."""

    def __init__(self, title: str, total: int | None = None) -> None:
        """Prepare the bar; a total of None is not known yet."""
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console(),
            transient=True,
        )
        self._task = self.add_task(title, total=total)
        self._began_s = time.monotonic()
        self._is_told = False

    def show(self, done: int, total: int | None = None) -> None:
        """Show how much is done; a total of None leaves the one that is shown."""
        self.update(self._task, completed=done, total=total)

    def tell_if_untouched(self, is_untouched: bool) -> None:
        """Print once, after a few seconds, that no worker has begun."""
        is_late = time.monotonic() - self._began_s > NOBODY_WORKS_AFTER_S
        if is_untouched and is_late and not self._is_told:
            self._is_told = True
            self.console.print(
                "Nobody works on it yet. It begins when a server runs on this database, or a worker: "
                + command_line("worker")
            )


def follow_missing(
    title: str, total: int, look: Callable[[], tuple[int, bool]], *, trouble: str, success: str
) -> None:
    """Show how many of `total` are done until all are or no job is left; then print the outcome.

    Args:
        title: of the bar.
        total: how many were missing at first.
        look: returns how many are missing now, and whether any job may still do them.
        trouble: said after the number that is still missing.
        success: the sentence when none is.
    """
    with Bar(title, total) as bar:
        while True:
            missing, is_any_due = look()
            bar.show(max(total - missing, 0))
            if missing == 0 or not is_any_due:
                break
            time.sleep(LOOK_EVERY_S)
    console().print(f"{missing} {trouble}" if missing else success)


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
