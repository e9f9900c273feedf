"""The caption job: have a model write the captions that are missing, and embed them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy.orm import Session

from mirada.captions import writing
from mirada.captions.embedding import (
    DueText,
    WantedCaptions,
    is_embedded,
    noted_texts,
    show_vectors,
    wanted_captions,
)
from mirada.captions.encoder import PaidEncoder, encoder_in
from mirada.captions.wording import (
    PICTURE_SIDE_PX,
    CaptionRecipe,
    caption_question,
    parse,
    recipe_in_force,
)
from mirada.db import spaces
from mirada.db.models import Job
from mirada.embedding import embed
from mirada.embedding.texts import store_prompt_vectors
from mirada.jobs import attempts
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy
from mirada.jobs.waiting import NoFreeSlot, Slot, slot_of
from mirada.kernel.embeddings import EmbeddingSpace, Vector
from mirada.kernel.errors import (
    GarbledReply,
    LanguageModelRefused,
    MiradaError,
    ModelUnusable,
    NotFound,
    Unavailable,
    UnusableReply,
)
from mirada.language_model import paying, spending
from mirada.language_model.spending import Order
from mirada.runtime import Runtime

ASK_AGAIN = "ask_again"
"""Argument of a job that was retried by hand: an answer of no use is asked for once more."""
THREADS_PER_CAPTION = 2
"""Half of a process's threads ask at most: a server that hangs holds up no picture's vector."""


@dataclass(frozen=True, slots=True)
class CaptionTask:
    """An attempt's task: the captions of one owner's images of a content.

    Attributes:
        recipe: how missing captions are written; None where no model writes them.
        redo: write captions of other recipes anew.
    """

    runtime: Runtime
    attempt: Attempt
    slot: Slot
    content_id: int
    owner_id: int
    recipe: CaptionRecipe | None
    redo: bool

    @property
    def timeout_s(self) -> float:
        """The longest that one call to the model's server may take."""
        return self.runtime.settings.caption_timeout_ms / 1000

    def order(self, purpose: str, subject: str, user_id: int | None) -> Order:
        """Return the order of one of this attempt's calls."""
        return Order(purpose, subject, user_id, self.attempt.job.id, self.attempt.token)


def caption_image(runtime: Runtime, attempt: Attempt) -> None:
    """Write and embed the captions of one owner's images of a content."""
    job = attempt.job
    if job.subject_id is None or job.owner_id is None:
        raise NotFound("The job names no content, or nobody whose images are meant.")
    with slot_of(runtime, job.kind, THREADS_PER_CAPTION) as slot:
        task = CaptionTask(
            runtime,
            attempt,
            slot,
            job.subject_id,
            job.owner_id,
            recipe=recipe_in_force(runtime.settings, job.arguments.get("model")),
            redo=bool(job.arguments.get("redo", False)),
        )
        while True:
            caption = trouble = None
            try:
                caption = _written(task)
            except MiradaError as error:
                # Captions of people are embedded all the same.
                trouble = _named_by_the_job(job, error)
            # After the answer was stored: it is not lost with the lease.
            attempt.check()
            wanted, due = _show(task, caption)
            space_id = _embed(task, wanted, due)
            if trouble is not None:
                raise trouble
            attempt.check()
            if _finish(task, replace(wanted, space_id=space_id)):
                return


def _named_by_the_job(job: Job, error: MiradaError) -> MiradaError:
    """Return the error; one that no setting can mend, for the job itself names the model, is final."""
    if isinstance(error, ModelUnusable) and job.arguments.get("model"):
        return LanguageModelRefused(
            f"The language model's server has no {job.arguments['model']} for this key, or it does "
            "not take what is asked of it: name another model by --model, or none."
        )
    return error


def _written(task: CaptionTask) -> str | None:
    """Return the caption to show: known from before, or the model's answer; None for none wanted."""
    recipe, job = task.recipe, task.attempt.job
    if recipe is None:
        return None
    with task.runtime.transaction() as session:
        claim = writing.claim(
            session,
            task.content_id,
            task.owner_id,
            recipe,
            job_id=job.id,
            token=task.attempt.token,
            redo=task.redo,
            ask_again=bool(job.arguments.get(ASK_AGAIN, False)),
        )
    if claim is None:
        return None
    if claim.is_busy:
        # The words of any other wait: that somebody asks about the same picture is theirs to know.
        raise NoFreeSlot
    order = task.order(spending.CAPTION, claim.sha256, task.owner_id)
    if claim.caption is None and claim.refusal is None:
        task.slot.take()
        return _answer(task, recipe, order, claim.storage_key)
    paying.share(task.runtime, order, caption_question(recipe))
    if claim.caption is None:
        raise UnusableReply(claim.refusal or "")
    return claim.caption


def _answer(task: CaptionTask, recipe: CaptionRecipe, order: Order, storage_key: str) -> str | None:
    """Return the model's caption, stored whatever becomes of this attempt; None: the picture is gone."""
    runtime, content_id = task.runtime, task.content_id
    # Nothing is decoded for a server that is not asked anyway.
    model = paying.language_model_of(runtime, caption_question(recipe))
    try:
        # A small copy without metadata: no original leaves this machine.
        picture = runtime.decoder.thumbnail(runtime.image_store.path(storage_key), PICTURE_SIDE_PX)
    except NotFound as error:
        with runtime.reading() as session:
            if not embed.is_stored(session, content_id, storage_key):
                return None
        raise Unavailable(error.detail) from error
    question = caption_question(recipe, picture, task.timeout_s)
    try:
        with paying.paid_call(runtime, order, question, model=model) as reply:
            caption = parse(reply.text, recipe.language)
            with runtime.transaction() as session:
                writing.store_answer(session, content_id, recipe, caption=caption)
    except GarbledReply as error:
        # The server's own format is broken, which says nothing about the picture and may be mended.
        raise Unavailable(error.detail) from error
    except UnusableReply as error:
        with runtime.transaction() as session:
            writing.store_answer(session, content_id, recipe, refusal=error.detail)
        raise
    return caption


def _show(task: CaptionTask, caption: str | None) -> tuple[WantedCaptions, list[DueText]]:
    """Show the caption, and return the state that captions should be in and the texts to embed."""
    of_owner = task.content_id, task.owner_id
    with task.runtime.transaction() as session:
        if caption is not None and task.recipe is not None:
            writing.show(session, *of_owner, task.recipe, caption, redo=task.redo)
        wanted = wanted_captions(task.runtime, session, task.recipe, task.redo)
        due = noted_texts(session, *of_owner, wanted.space_id) if wanted.embeds else []
    return wanted, due


def _embed(task: CaptionTask, wanted: WantedCaptions, due: list[DueText]) -> int | None:
    """Embed the texts that have no vector, let the images show the vectors of all, return the space.

    A text that is embedded already, for somebody else wrote the same, takes the same way as a new
    one: it needs a slot, the model and room in the budget, and makes one change.
    """
    space_id = wanted.space_id
    if not due:
        return space_id
    encoder = encoder_in(task.runtime, wanted.space, task.timeout_s)
    if isinstance(encoder, PaidEncoder):
        task.slot.take()
        for text in due:
            space_id = _embed_paid(task, encoder, text) or space_id
        return space_id
    missing = [text for text in due if not text.is_embedded]
    vectors = encoder.encode_texts([text.body for text in missing]) if missing else ()
    task.attempt.check()
    found = {text.id: vector for text, vector in zip(missing, vectors, strict=True)}
    return _store(task, encoder.space, found, [text.id for text in due]) or space_id


def _embed_paid(task: CaptionTask, encoder: PaidEncoder, text: DueText) -> int | None:
    """Have the server embed a text, unless it is embedded by now, and let the images show its vector."""
    # Nobody's: whether it had to be paid for tells whether somebody else has said the same.
    order = task.order(spending.CAPTION_EMBEDDING, text.sha256, user_id=None)
    request, unless = encoder.request([text.body]), partial(_is_embedded, text.id, order)
    with paying.paid_call(task.runtime, order, request, unless=unless) as reply:
        vectors = {} if reply is None else {text.id: encoder.checked(reply)[0]}
        return _store(task, encoder.space, vectors, [text.id])


def _is_embedded(text_id: int, order: Order, session: Session) -> bool:
    """Return whether a text has a vector. Raises NoFreeSlot while another attempt pays for it."""
    if spending.is_under_way(session, order):
        raise NoFreeSlot
    return is_embedded(session, text_id)


def _store(
    task: CaptionTask, space: EmbeddingSpace, vectors: Mapping[int, Vector], shown: list[int]
) -> int | None:
    """Store vectors and show those of the texts; return their space, None where none was stored."""
    with task.runtime.transaction() as session:
        show_vectors(session, task.content_id, task.owner_id, shown)
        if not vectors:
            return None
        row = spaces.pin_space(session, space)
        store_prompt_vectors(session, row.id, space, vectors)
        return row.id


def _finish(task: CaptionTask, wanted: WantedCaptions) -> bool:
    """Finish the job unless more has come in; return whether it is finished.

    Under the content's lock: what comes in meanwhile finds the job finished, or is seen here.
    """
    with task.runtime.transaction() as session:
        is_finished = writing.is_complete(session, task.content_id, task.owner_id, wanted)
        if is_finished:
            attempts.finish(session, task.attempt.job.id, task.attempt.token)
    return is_finished


KIND = Kind(
    writing.CAPTION_IMAGE,
    caption_image,
    # Nobody waits for a caption, and a server that hangs now and then is no reason to go without.
    RetryPolicy(max_attempts=8, first_delay_s=10.0),
    retried_with={ASK_AGAIN: True},
    title="Describe a picture",
    is_about_content=True,
)
