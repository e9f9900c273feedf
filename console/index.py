"""`mirada index`: rebuild an index, measure what its searches cost here, and show its status."""

from __future__ import annotations

import click

from console.site import Group, current_runtime
from console.terminal import console, follow
from mirada.db import spaces
from mirada.embedding.index_rebuild import request_rebuild
from mirada.kernel.commands import command_line

group = Group("index", help="What searches run on.")
SPACE = click.option(
    "--space",
    default="image",
    show_default=True,
    help="A space's name or id; image: the one in use.",
)


@group.command("rebuild")
@SPACE
@click.option("--wait/--no-wait", default=False, show_default=True, help="Until it is published.")
def rebuild(space: str, wait: bool) -> None:
    """Build the index from the database; searches go on meanwhile."""
    runtime = current_runtime()
    with runtime.reading() as session:
        space_id = spaces.space_by_name(session, space).id
    with runtime.transaction() as session:
        job = request_rebuild(session, space_id)
    runtime.doorbell.ring(job.id, job.kind)
    job_id = job.id
    if not wait:
        console().print(
            f"Job {job_id} rebuilds the index. How far it is: {command_line('jobs list')}"
        )
        return
    report = follow(runtime, job_id, "Rebuilding")
    console().print(f"The index was rebuilt from {report.job.progress_done} vectors.")


@group.command("tune")
@SPACE
def tune(space: str) -> None:
    """Measure on this machine what searches cost, so that each takes the cheapest way.

    A rebuild measures it too, on the worker's machine. What is measured by hand wins from then on.
    """
    runtime = current_runtime()
    with runtime.reading() as session:
        space_id = spaces.space_by_name(session, space).id
    index = runtime.index(space_id)
    index.refresh()
    planning = index.tune().planning
    if not planning:
        console().print(
            "Every search of this index takes the same way: there is nothing to measure."
        )
        return
    for part, cost in planning["costs_us"].items():
        if isinstance(cost, float):
            console().print(f"{part.replace('_', ' '):14} {cost:8.4f} us")
    for form, ways in planning["first_ways"].items():
        said = ", ".join(f"{way} from {rows:,}" for way, rows in ways.items())
        console().print(f"first way for a {form} by permitted vectors: {said}")


@group.command("status")
@SPACE
def status(space: str) -> None:
    """Show size, freshness, snapshot and measured recall as a fresh process sees them."""
    runtime = current_runtime()
    with runtime.reading() as session:
        row = spaces.space_by_name(session, space)
    index = runtime.index(row.id)
    index.refresh()
    now = index.status()
    shown = {
        "space": f"{row.name} (id {row.id}, {row.dimension} dimensions)",
        "backend": f"{now.backend}, {now.kind}",
        "vectors": f"{now.live_count} live, {now.dead_count} dead, {now.delta_count} in the delta",
        "change": now.change_seq,
        "snapshot": f"{now.snapshot or 'none'} (change {now.snapshot_change_seq or '-'})",
        **now.parameters,
        **{f"recall {name:4}": value for name, value in now.recall.items()},
    }
    for name, value in shown.items():
        console().print(f"{name:11} {value}")
    for way in now.ways:
        said = f"{way.setting}" if way.is_in_use else f"left out: {way.reason}"
        console().print(f"{way.form:11} {way.way}: {said}")
