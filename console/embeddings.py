"""`mirada embeddings`: embed what has no vector yet."""

from __future__ import annotations

import click

from console.site import Group, current_runtime
from console.terminal import console, enqueue, follow, follow_missing, pinned_anew
from mirada.embedding import backfill
from mirada.embedding.backfill import BACKFILL_EMBEDDINGS
from mirada.jobs import ledger
from mirada.kernel.commands import command_line
from mirada.kernel.embeddings import SpaceKind

group = Group("embeddings", help="The vectors of pictures.")


@group.command("backfill")
@click.option(
    "--batch-size", default=backfill.BATCH_SIZE, show_default=True, type=click.IntRange(1, 1000)
)
@click.option(
    "--skip-existing/--no-skip-existing",
    default=True,
    show_default=True,
    help="Leave pictures alone that have a vector.",
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until all are embedded.")
def backfill_embeddings(batch_size: int, skip_existing: bool, wait: bool) -> None:
    """Queue the embedding of every picture that has none; running it twice does nothing twice.

    Pictures that were embedded before colours were looked at get their palettes.
    """
    runtime = current_runtime()
    if not runtime.settings.embeddings_enabled:
        console().print("EMBEDDINGS_ENABLED is false: nothing is embedded.")
        return
    job_id = enqueue(
        runtime,
        BACKFILL_EMBEDDINGS,
        arguments={"batch_size": batch_size, "skip_existing": skip_existing},
    )
    if not wait:
        console().print(f"Job {job_id} looks for pictures without a vector.")
        return
    report = follow(runtime, job_id, "Queueing")
    console().print(f"{report.job.progress_done} pictures were queued.")
    if report.job.progress_done and skip_existing:
        _follow_embedding(report.job.progress_done)


@group.command("switch-text-model")
def switch_text_model() -> None:
    """Embed every prompt by the text model that the settings name (TEXT_MODEL), old ones too.

    Stop the web server and the workers first, and start them again afterwards.
    """
    runtime = current_runtime()
    space = pinned_anew(runtime, SpaceKind.PROMPT, lambda: runtime.space(SpaceKind.PROMPT)[1])
    if space is None:
        return
    job_id = enqueue(runtime, BACKFILL_EMBEDDINGS, arguments={})
    console().print(f"Prompts are embedded by {space.name} from now on; job {job_id} queues them.")


def _follow_embedding(total: int) -> None:
    runtime = current_runtime()
    space_id, _ = runtime.space()

    def look() -> tuple[int, bool]:
        with runtime.reading() as session:
            missing = backfill.count_to_embed(session, space_id)
            counts = ledger.count_by_state(session)
        return missing, any(counts[state] for state in ledger.UNFINISHED)

    follow_missing(
        "Embedding",
        total,
        look,
        trouble=f"pictures could not be embedded; see: {command_line('jobs failed')}",
        success="Every picture has its vector.",
    )
