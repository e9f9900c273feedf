"""Captions in the worker: have a model write those that are missing, and embed them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirada.captions import rows
from mirada.captions.embedding import CaptionTask, embed_captions
from mirada.captions.encoder import can_embed
from mirada.captions.wording import (
    INSTRUCTIONS,
    MAX_REPLY_TOKENS,
    PICTURE_SIDE_PX,
    SCHEMA,
    CaptionRecipe,
    parse,
    question,
)
from mirada.embedding import embed
from mirada.jobs import attempts
from mirada.jobs.ledger import ASK_AGAIN
from mirada.jobs.turns import OutOfTurn, turn_of
from mirada.kernel.errors import GarbledReply, MiradaError, NotFound, Unavailable, UnusableReply
from mirada.kernel.prices import TokenBound, bound_of_question
from mirada.language_model import paying, spending
from mirada.runtime import Runtime

if TYPE_CHECKING:
    from mirada.jobs.attempt import Attempt
    from mirada.language_model.paying import PaidLanguageModel
    from mirada.ports import Reply

THREADS_PER_CAPTION = 2
"""Half of a process's threads ask at most: a server that hangs holds up no picture's vector."""


def recipe_in_force(runtime: Runtime, model: str | None = None) -> CaptionRecipe | None:
    """Return how missing captions are written; None where nobody writes them.

    Args:
        runtime: whose settings say it.
        model: another one than CAPTION_MODEL.
    """
    settings = runtime.settings
    if settings.openai_api_key is None or not settings.captions_enabled:
        return None
    return CaptionRecipe(model or settings.caption_model, settings.caption_language)


def bound_of_caption(recipe: CaptionRecipe) -> TokenBound:
    """Return the most tokens that writing one caption takes."""
    return bound_of_question(
        (INSTRUCTIONS, question(recipe.language)),
        max_tokens=MAX_REPLY_TOKENS,
        schema=SCHEMA,
        pictures=1,
    )


def caption_image(runtime: Runtime, attempt: Attempt) -> None:
    """Write and embed the captions of one owner's images of a content."""
    job = attempt.job
    if job.subject_id is None or job.owner_id is None:
        raise NotFound("The job names no content, or nobody whose images are meant.")
    with turn_of(runtime, job.kind, THREADS_PER_CAPTION) as turn:
        _work(
            CaptionTask(
                runtime,
                attempt,
                turn,
                job.subject_id,
                job.owner_id,
                recipe_in_force(runtime, job.arguments.get("model")),
                bool(job.arguments.get("redo", False)),
            )
        )


def _work(task: CaptionTask) -> None:
    while True:
        trouble = None
        try:
            _write(task)
        except MiradaError as error:
            # What people wrote is embedded all the same.
            trouble = error
        task.attempt.check()
        space_id = embed_captions(task)
        if trouble is not None:
            raise trouble
        task.attempt.check()
        with task.runtime.transaction() as session:
            # Under the content's lock: what comes in meanwhile finds the job finished, or is seen here.
            if rows.is_complete(
                session,
                task.content_id,
                task.owner_id,
                recipe=task.recipe,
                embeds=can_embed(task.runtime),
                space_id=space_id,
                redo=task.redo,
            ):
                attempts.finish(session, task.attempt.job.id, task.attempt.token)
                return


def _write(task: CaptionTask) -> None:
    """Give the owner's images that want a caption one: what is known, or what the model answers."""
    recipe, job = task.recipe, task.attempt.job
    if recipe is None:
        return
    with task.runtime.transaction() as session:
        asking = rows.begin(
            session,
            task.content_id,
            task.owner_id,
            recipe,
            job_id=job.id,
            token=task.attempt.token,
            redo=task.redo,
            ask_again=bool(job.arguments.get(ASK_AGAIN, False)),
        )
    if asking is None:
        return
    if asking.is_busy:
        # The words of any other wait: that somebody asks about the same picture is theirs to know.
        raise OutOfTurn
    order = paying.order_of(task.attempt, spending.CAPTION, asking.sha256)
    model = paying.paid_language_model(task.runtime, order)
    caption = asking.caption
    if caption is not None or asking.refusal is not None:
        model.share(recipe.model, bound_of_caption(recipe))
        if caption is None:
            raise UnusableReply(asking.refusal or "")
    else:
        task.turn.take()
        caption = _ask(task, model, asking.storage_key, recipe)
        if caption is None:
            return
    # Not before the lease was looked at: what is kept by now is not lost with it.
    task.attempt.check()
    with task.runtime.transaction() as session:
        rows.show(session, task.content_id, task.owner_id, recipe, caption, redo=task.redo)


def _ask(
    task: CaptionTask, model: PaidLanguageModel, storage_key: str, recipe: CaptionRecipe
) -> str | None:
    """Return the model's caption, kept whatever becomes of this attempt; None: the picture is gone."""
    runtime, content_id = task.runtime, task.content_id
    # Nothing is decoded for a server that is not asked anyway.
    model.check()
    try:
        # A small copy without metadata: nobody is sent an original.
        picture = runtime.decoder.thumbnail(runtime.image_store.path(storage_key), PICTURE_SIDE_PX)
    except NotFound as error:
        with runtime.reading() as session:
            if not embed.is_stored(session, content_id, storage_key):
                return None
        raise Unavailable(error.detail) from error
    caption = None

    def receive(reply: Reply) -> None:
        nonlocal caption
        caption = parse(reply.text, recipe.language)
        with runtime.transaction() as session:
            rows.keep(session, content_id, recipe, caption=caption)

    try:
        model.see(
            recipe.model,
            INSTRUCTIONS,
            question(recipe.language),
            picture,
            schema=SCHEMA,
            max_tokens=MAX_REPLY_TOKENS,
            timeout_s=task.timeout_s,
            received=receive,
        )
    except GarbledReply as error:
        # The server's own format is broken, which says nothing about the picture and may be mended.
        raise Unavailable(error.detail) from error
    except UnusableReply as error:
        with runtime.transaction() as session:
            rows.keep(session, content_id, recipe, refusal=error.detail)
        raise
    return caption
