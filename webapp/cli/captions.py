"""`flask captions`: write and embed what is missing, and change the model that embeds."""

from __future__ import annotations

import time

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mirada.bootstrap import Runtime
from mirada.domain.errors import MiradaError
from mirada.usecases import caption_backfill, jobs, spaces
from webapp.cli.terminal import AppGroup, command_errors, console, current_runtime
from workers import doorbell
from workers.captions import caption_encoder, recipe_in_force

captions_group = AppGroup("captions", help="What is said of pictures.")
POLL_EVERY_S = 0.5


@captions_group.command("backfill")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--redo", is_flag=True, help="Also captions that another model or language wrote.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until all are done.")
@command_errors
def backfill_captions(dry_run: bool, redo: bool, wait: bool) -> None:
    """Embed captions that have no vector; what people wrote is never changed."""
    runtime = current_runtime()
    count = _count_lacking(runtime, redo=redo)
    console().print(f"{count} pictures lack a caption or its vector.")
    if dry_run or count == 0:
        return
    job_ids = _queue_all(runtime, redo=redo)
    console().print(f"{len(job_ids)} jobs were queued.")
    if wait:
        _follow(runtime, len(job_ids), redo=redo)


@captions_group.command("switch-model")
@command_errors
def switch_model() -> None:
    """Embed every caption by the model that the settings name, old ones too.

    Stop the web server and the workers first, and start them again afterwards.
    """
    runtime = current_runtime()
    if not runtime.settings.embeddings_enabled:
        raise click.ClickException("EMBEDDINGS_ENABLED is false: nothing is embedded.")
    with runtime.transaction() as session:
        old = spaces.retire_caption_space(session)
    try:
        space = caption_encoder(runtime).space
    except MiradaError:
        # What was in use stays in use.
        if old is not None:
            with runtime.transaction() as session:
                spaces.pin_caption_space(session, old.to_domain())
        raise
    if old is not None and old.to_domain() == space:
        console().print(f"{space.name} is in use already.")
        return
    count = len(_queue_all(runtime, redo=False))
    console().print(f"Captions are embedded by {space.name} from now on; {count} jobs do it.")


def _count_lacking(runtime: Runtime, *, redo: bool) -> int:
    with runtime.reading() as session:
        pinned = spaces.pinned_caption_space(session)
        return caption_backfill.count_lacking(
            session,
            recipe=recipe_in_force(runtime),
            embeds=runtime.settings.embeddings_enabled,
            space_id=None if pinned is None else pinned.id,
            redo=redo,
        )


def _queue_all(runtime: Runtime, *, redo: bool) -> list[int]:
    queued: list[int] = []
    after = (0, 0)
    while True:
        with runtime.transaction() as session:
            pinned = spaces.pinned_caption_space(session)
            page = caption_backfill.queue_page(
                session,
                recipe=recipe_in_force(runtime),
                embeds=runtime.settings.embeddings_enabled,
                space_id=None if pinned is None else pinned.id,
                after=after,
                redo=redo,
            )
        for job_id in page.job_ids:
            doorbell.ring(runtime, job_id, jobs.CAPTION_IMAGE)
        queued += page.job_ids
        if page.last is None:
            return queued
        after = page.last


def _follow(runtime: Runtime, total: int, *, redo: bool) -> None:
    columns = (
        TextColumn("Captions"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task("", total=total)
        while True:
            missing = _count_lacking(runtime, redo=redo)
            bar.update(task, completed=max(total - missing, 0))
            with runtime.reading() as session:
                is_due = caption_backfill.is_any_due(session)
            if missing == 0 or not is_due:
                break
            time.sleep(POLL_EVERY_S)
    if missing:
        console().print(
            f"{missing} pictures still lack theirs; see: flask --app wsgi jobs failed, and those "
            "that wait: flask --app wsgi jobs list"
        )
    else:
        console().print("Every caption has its vector.")
