"""`mirada captions`: write and embed what is missing, and change the model that embeds."""

from __future__ import annotations

from dataclasses import dataclass

import click

from console.site import Group, current_runtime
from console.terminal import console, follow_missing, pinned_anew
from mirada.captions import backfill
from mirada.captions.embedding import wanted_captions
from mirada.captions.encoder import PROBE, PaidEncoder, caption_encoder
from mirada.captions.wording import CaptionRecipe, caption_question, recipe_in_force
from mirada.captions.writing import CAPTION_IMAGE
from mirada.db import spaces
from mirada.kernel.commands import command_line
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.prices import usd
from mirada.language_model import spending, usage
from mirada.runtime import Runtime

group = Group("captions", help="What is said of pictures.")


@dataclass(frozen=True, slots=True)
class _What:
    """How missing captions are written, if at all, and whether others' are written anew."""

    recipe: CaptionRecipe | None
    redo: bool = False
    model: str | None = None


@group.command("backfill")
@click.option("--dry-run", is_flag=True, help="Say what would be done and cost, and do nothing.")
@click.option(
    "--redo", is_flag=True, help="Also descriptions that another model or language wrote."
)
@click.option("--model", default=None, help="Who writes them, instead of CAPTION_MODEL.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until all are done.")
def backfill_captions(dry_run: bool, redo: bool, model: str | None, wait: bool) -> None:
    """Have pictures described that are not yet, and all texts embedded; what people wrote stays."""
    runtime = current_runtime()
    what = _What(recipe_in_force(runtime.settings, model), redo, model)
    if what.recipe is None:
        if redo or model is not None:
            raise click.ClickException(
                "No model writes captions here: set OPENAI_API_KEY, and leave CAPTIONS_ENABLED true."
            )
        _say_undescribed(runtime)
    count = _count_lacking(runtime, what)
    lack = (
        "a vector of what is said of them" if what.recipe is None else "a description or a vector"
    )
    console().print(f"{count} pictures lack {lack}.")
    if what.recipe is not None:
        _say_cost(runtime, what.recipe, redo=redo)
    if dry_run or count == 0:
        return
    job_ids = _queue_all(runtime, what)
    console().print(f"{len(job_ids)} jobs were queued.")
    if wait:
        _follow(runtime, len(job_ids), what)


@group.command("switch-model")
def switch_model() -> None:
    """Embed every caption by the model that the settings name, old ones too.

    Stop the web server and the workers first, and start them again afterwards.
    """
    runtime = current_runtime()
    if not runtime.settings.embeddings_enabled:
        raise click.ClickException("EMBEDDINGS_ENABLED is false: nothing is embedded.")
    space = pinned_anew(runtime, SpaceKind.CAPTION, lambda: _chosen_space(runtime))
    if space is None:
        return
    count = len(_queue_all(runtime, _What(recipe_in_force(runtime.settings))))
    console().print(f"Captions are embedded by {space.name} from now on; {count} jobs do it.")


def _chosen_space(runtime: Runtime) -> EmbeddingSpace:
    """Pin the space that the settings name, and return it."""
    encoder = caption_encoder(runtime)
    if isinstance(encoder, PaidEncoder):
        # One is tried: a name that the server does not know must not be taken.
        encoder.encode_texts([PROBE])
    with runtime.transaction() as session:
        spaces.pin_space(session, encoder.space)
    return encoder.space


def _count_lacking(runtime: Runtime, what: _What) -> int:
    with runtime.reading() as session:
        wanted = wanted_captions(runtime, session, what.recipe, what.redo)
        return backfill.count_lacking(session, wanted)


def _say_undescribed(runtime: Runtime) -> None:
    """Say how many descriptions are missing that no model writes here, and what it needs."""
    with runtime.reading() as session:
        count = backfill.count_undescribed(session)
    settings = runtime.settings
    needed = ["OPENAI_API_KEY"] if settings.openai_api_key is None else []
    needed += [] if settings.captions_enabled else ["CAPTIONS_ENABLED=true"]
    console().print(
        f"{count} pictures lack a description. No model writes one here: set {' and '.join(needed)}."
    )


def _say_cost(runtime: Runtime, recipe: CaptionRecipe, *, redo: bool) -> None:
    price = runtime.budgets.prices.of(recipe.model)
    with runtime.reading() as session:
        count = backfill.count_to_ask(session, recipe, redo=redo)
        mean = usage.mean_cost_micros(session, spending.CAPTION, recipe.model)
    line = f"{recipe.model} would be asked about {count} pictures"
    if price is None:
        console().print(f"{line}; what it costs is not known, see LLM_PRICES_USD.")
        return
    bound = caption_question(recipe).bound
    most = count * price.cost_micros(bound.input_tokens, bound.output_tokens)
    so_far = (
        "" if mean is None else f", or ${usd(int(count * mean)):.4f} at what one has cost so far"
    )
    console().print(f"{line}, for ${usd(most):.4f} at most{so_far}.")


def _queue_all(runtime: Runtime, what: _What) -> list[int]:
    queued: list[int] = []
    after = (0, 0)
    while True:
        with runtime.transaction() as session:
            wanted = wanted_captions(runtime, session, what.recipe, what.redo)
            page = backfill.queue_page(session, wanted, after=after, model=what.model)
        for job_id in page.job_ids:
            runtime.doorbell.ring(job_id, CAPTION_IMAGE)
        queued += page.job_ids
        if page.last is None:
            return queued
        after = page.last


def _follow(runtime: Runtime, total: int, what: _What) -> None:
    def look() -> tuple[int, bool]:
        missing = _count_lacking(runtime, what)
        with runtime.reading() as session:
            return missing, backfill.is_any_due(session)

    follow_missing(
        "Captions",
        total,
        look,
        trouble=f"pictures still lack theirs; those that were given up: {command_line('jobs failed')}\n"
        f"those that wait: {command_line('jobs list')}",
        success="Nothing is left to embed."
        if what.recipe is None
        else "Nothing is left to describe or to embed.",
    )
