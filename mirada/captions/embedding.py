"""The vectors of captions in the worker: computed or paid for once, and shown by their own job alone."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mirada.captions import texts as caption_texts
from mirada.captions.encoder import PaidEncoder, can_embed, caption_encoder
from mirada.captions.wording import CaptionRecipe
from mirada.db import spaces
from mirada.embedding import texts as prompts
from mirada.jobs.turns import OutOfTurn, Turn
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import MiradaError
from mirada.kernel.prompts import prompt_digest
from mirada.language_model import shared_calls, spending
from mirada.runtime import Runtime

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from mirada.jobs.attempt import Attempt
    from mirada.kernel.embeddings import Vector
    from mirada.language_model.spending import Order
    from mirada.ports import TextEncoder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CaptionTask:
    """What an attempt is to do: for one owner's images of a content, by which recipe, if by any."""

    runtime: Runtime
    attempt: Attempt
    turn: Turn
    content_id: int
    owner_id: int
    recipe: CaptionRecipe | None
    redo: bool

    @property
    def timeout_s(self) -> float:
        """How long one call to the model's server may take."""
        return self.runtime.settings.caption_timeout_ms / 1000


class _AlreadyThere(MiradaError):
    """Somebody else has had the same text embedded."""


def embed_captions(task: CaptionTask) -> int | None:
    """Embed what has no vector, let the images show theirs, and return the space; None before there is one.

    A caption whose vector is there, for somebody else wrote the very same, takes the same way as one
    that nobody wrote: it needs its turn, the model and room in the budget, and makes one change.
    """
    runtime = task.runtime
    if not can_embed(runtime):
        return None
    with runtime.transaction() as session:
        caption_texts.note_captions(session, task.content_id, task.owner_id)
    with runtime.reading() as session:
        space_id = spaces.pinned_space_id(session, SpaceKind.CAPTION)
        due = caption_texts.due_texts(session, task.content_id, task.owner_id)
        texts = caption_texts.without_vector(session, task.content_id, task.owner_id, space_id)
    due |= texts
    if not due:
        return space_id
    encoder = caption_encoder(runtime, task.timeout_s)
    if isinstance(encoder, PaidEncoder):
        task.turn.take()
        for text_id, text in due.items():
            _embed_once(task, encoder, text_id, text)
    else:
        vectors = encoder.encode_texts(list(texts.values())) if texts else ()
        task.attempt.check()
        _store(task, encoder, dict(zip(texts, vectors, strict=True)), due)
    with runtime.reading() as session:
        return spaces.pinned_space_id(session, SpaceKind.CAPTION)


def _embed_once(task: CaptionTask, encoder: PaidEncoder, text_id: int, text: str) -> None:
    """Have a text embedded, unless somebody else has, and its vector shown; paid for once."""
    job = task.attempt.job
    order = spending.Order(
        spending.CAPTION_EMBEDDING,
        prompt_digest(text),
        # Nobody's: whether it had to be paid for tells whether somebody else has said the same.
        user_id=None,
        job_id=job.id,
        lease_token=task.attempt.token,
    )

    def keep(vector: Vector) -> None:
        _store(task, encoder, {text_id: vector}, [text_id])

    try:
        encoder.encode_once(
            text, order, received=keep, unless=partial(_require_unembedded, encoder, text_id, order)
        )
    except _AlreadyThere:
        logger.debug("Text %s is embedded already", text_id)
        _store(task, encoder, {}, [text_id])


def _require_unembedded(encoder: PaidEncoder, text_id: int, order: Order, session: Session) -> None:
    if shared_calls.is_under_way(session, order):
        raise OutOfTurn
    space = spaces.pinned_space(session, SpaceKind.CAPTION)
    if space is not None and prompts.is_embedded(session, text_id, space.id):
        raise _AlreadyThere("This text is embedded by now.")


def _store(
    task: CaptionTask,
    encoder: PaidEncoder | TextEncoder,
    vectors: Mapping[int, Vector],
    shown: Collection[int],
) -> None:
    with task.runtime.transaction() as session:
        caption_texts.show_vectors(session, task.content_id, task.owner_id, shown)
        if vectors:
            space = spaces.pin_space(session, encoder.space)
            prompts.store_prompt_vectors(session, space.id, encoder.space, vectors)
