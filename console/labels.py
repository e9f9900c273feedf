"""`mirada labels`: have a whole set of labels expanded in advance."""

from __future__ import annotations

import sys
import time

import click

from console.site import Group, current_runtime
from console.terminal import POLL_EVERY_S, Bar, console
from mirada.classify import expansions, label_set
from mirada.classify.expansions import ExpansionStatus, LookedUp
from mirada.kernel.labels import normalised_name
from mirada.runtime import Runtime

LONG_REST_S = 50.0
"""A label that rests for longer waits for a mended key or for tomorrow's money, and nobody for it."""

group = Group("labels", help="What pictures may be called.")


@group.command("expand")
@click.option("--labels", "names", help="Comma-separated; the default set if left out.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until all are answered.")
def expand_labels(names: str | None, wait: bool) -> None:
    """Ask the language model about every label that it has not been asked about yet.

    Those that failed are asked about again. Exit code: 0 when every label has its expansion or, with
    --no-wait, is queued; 1 when one has failed, or is put off for longer than a minute.
    """
    runtime = current_runtime()
    if not expansions.expansions_are_on(runtime):
        raise click.ClickException(
            "Labels are not expanded: set OPENAI_API_KEY, and ENABLE_LLM_LABEL_EXPANSION=true."
        )
    wanted = _wanted(runtime, names)
    asked = {label: expansions.queue_expansion(runtime, label, again=True) for label in wanted}
    queued = [label for label, it in asked.items() if it.status != ExpansionStatus.READY]
    console().print(f"{len(wanted) - len(queued)} labels are expanded already.")
    if not wait:
        console().print(f"{len(queued)} are queued.")
        return
    known = _follow(runtime, queued) if queued else {}
    failed = {label: it for label, it in known.items() if it.status != ExpansionStatus.READY}
    console().print(f"{len(known) - len(failed)} were expanded.")
    for label, it in failed.items():
        how = "put off" if it.status == ExpansionStatus.PENDING else "failed"
        click.echo(f"{how}: {label}: {it.reason or 'the worker did not ask'}", err=True)
    if failed:
        sys.exit(1)


def _wanted(runtime: Runtime, names: str | None) -> list[str]:
    if names is None:
        with runtime.reading() as session:
            return [label.name for label in label_set.LABELS.in_force(session)]
    return list(dict.fromkeys(normalised_name(name) for name in names.split(",")))


def _follow(runtime: Runtime, queued: list[str]) -> dict[str, LookedUp]:
    """Show how many are answered until all are; Ctrl-C leaves them queued."""
    model = runtime.settings.llm_label_expansion_model
    with Bar("Expanding", len(queued)) as bar:
        while True:
            with runtime.reading() as session:
                known = expansions.look_up_all(session, queued, model)
            pending = [
                it
                for it in known.values()
                if it.status == ExpansionStatus.PENDING and it.waits_s <= LONG_REST_S
            ]
            bar.show(len(queued) - len(pending))
            if not pending:
                return known
            # Resting after an error, a job has found its worker.
            is_untouched = len(pending) == len(queued) and not any(it.reason for it in pending)
            bar.tell_if_untouched(is_untouched)
            time.sleep(POLL_EVERY_S)
