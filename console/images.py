"""`mirada images`: bring folders of pictures in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from console.site import FirstCommand, Group, current_runtime
from mirada.people import users
from mirada.pictures.folder_import import BATCH_SIZE, OnProgress, import_folder, logged
from mirada.pictures.folder_scan import ImportReport
from mirada.pictures.left_out import write_table

group = Group("images", help="Bring pictures in.")


@group.command("import", cls=FirstCommand)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--owner", default="local", show_default=True, help="Username of their owner.")
@click.option("--public/--private", default=False, show_default=True, help="Who may see them.")
@click.option(
    "--metadata/--no-metadata",
    default=True,
    show_default=True,
    help="Read what generators wrote into the files; a prompt is as public as its picture.",
)
@click.option(
    "--batch",
    default=BATCH_SIZE,
    show_default=True,
    type=click.IntRange(1, 1_000),
    help="Pictures per transaction.",
)
@click.option(
    "--report",
    "report_file",
    type=click.File("w", encoding="utf-8", errors="surrogateescape", lazy=False),
    help="Write every file that was not taken, with the reason, as CSV.",
)
def import_command(
    folder: Path, owner: str, public: bool, metadata: bool, batch: int, report_file: TextIO | None
) -> None:
    """Import every picture below FOLDER that its owner does not have yet.

    Safe to interrupt and to run again, also while the server runs. Exit code: 0 when every picture
    was taken or already there, 1 when one was refused or it could not go on, 2 for a wrong call.
    """
    runtime = current_runtime()
    runtime.migrate()
    with runtime.transaction() as session:
        owner_id = users.user_named(session, owner).id
    with _progress() as draw, _reporting(report_file, draw) as report:
        outcome = import_folder(
            runtime,
            folder,
            owner_id=owner_id,
            is_public=public,
            read_metadata=metadata,
            report=report,
            batch_size=batch,
        )
    for refusal in outcome.all_refused:
        click.echo(f"refused: {refusal.path}: {refusal.reason}", err=True)
    click.echo(outcome.summary())
    if outcome.taken:
        click.echo("They can be found as soon as the running server or worker has embedded them.")
    if outcome.all_refused:
        sys.exit(1)


@contextmanager
def _reporting(file: TextIO | None, draw: OnProgress | None) -> Iterator[OnProgress | None]:
    """Yield what an import reports to; at its end, also an early one, the table is written."""
    if file is None:
        yield draw
        return
    draw = draw or logged()
    latest: list[ImportReport] = []

    def note(report: ImportReport) -> None:
        latest[:] = [report]
        draw(report)

    try:
        yield note
    finally:
        if latest:
            write_table(latest[0].not_taken, file)


@contextmanager
def _progress() -> Iterator[OnProgress | None]:
    """Yield what draws a bar on a terminal; None, which logs a line now and then, elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Progress(
        TextColumn("Importing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[refused]} refused"),
        TimeRemainingColumn(),
        console=console,
    ) as bar:
        task = bar.add_task("import", total=None, refused=0)

        def draw(report: ImportReport) -> None:
            bar.update(task, total=report.total, completed=report.done, refused=len(report.refused))

        yield draw
