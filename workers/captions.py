"""Captions in the worker: embed what people wrote about their images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirada.bootstrap import Runtime
from mirada.domain.captions import CaptionRecipe
from mirada.domain.errors import NotFound
from mirada.usecases import attempts, captions, prompts, spaces

if TYPE_CHECKING:
    from mirada.ports import TextEncoder
    from workers.attempt import Attempt


def recipe_in_force(runtime: Runtime) -> CaptionRecipe | None:
    """Return how missing captions are written; None where nobody writes them."""
    return None


def caption_encoder(runtime: Runtime) -> TextEncoder:
    """Return what embeds captions, its space pinned by the first use.

    Raises:
        EncoderUnavailable: the weights cannot be had.
        EmbeddingSpaceMismatch: the captions of the database were embedded by another model.
    """
    encoder = runtime.caption_tower
    with runtime.transaction() as session:
        spaces.pin_caption_space(session, encoder.space)
    return encoder


def caption_image(runtime: Runtime, attempt: Attempt) -> None:
    """Embed the captions of one owner's images of a content."""
    job = attempt.job
    if job.subject_id is None or job.owner_id is None:
        raise NotFound("The job names no content, or nobody whose images are meant.")
    content_id, owner_id = job.subject_id, job.owner_id
    while True:
        space_id = _embed(runtime, content_id, owner_id)
        attempt.check()
        with runtime.transaction() as session:
            # Under the content's lock: what comes in meanwhile finds the job finished, or is seen here.
            if captions.is_complete(
                session,
                content_id,
                owner_id,
                recipe=None,
                embeds=runtime.settings.embeddings_enabled,
                space_id=space_id,
            ):
                attempts.finish(session, job.id, attempt.token)
                return


def _embed(runtime: Runtime, content_id: int, owner_id: int) -> int | None:
    """Embed the captions that have no vector and return the space; None where nothing is embedded."""
    if not runtime.settings.embeddings_enabled:
        return None
    with runtime.transaction() as session:
        captions.note_captions(session, content_id, owner_id)
    with runtime.reading() as session:
        pinned = spaces.pinned_caption_space(session)
        texts = captions.without_vector(
            session, content_id, owner_id, None if pinned is None else pinned.id
        )
    if not texts:
        return None if pinned is None else pinned.id
    encoder = caption_encoder(runtime)
    vectors = encoder.encode_texts(list(texts.values()))
    with runtime.transaction() as session:
        space = spaces.pin_caption_space(session, encoder.space)
        prompts.store_prompt_vectors(
            session, space.id, encoder.space, dict(zip(texts, vectors, strict=True))
        )
        return space.id
