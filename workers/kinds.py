"""What each kind of job does: use cases in a row, each in its own transaction. No retries, no queue."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mirada.captions.job import caption_image
from mirada.classify import expansions
from mirada.classify.batch_job import classify_images
from mirada.classify.label_expansion import PROMPT_VERSION, expansion_question, parse
from mirada.db import spaces
from mirada.drawing.job import generate_image
from mirada.embedding import backfill, embed, index_rebuild, palette
from mirada.embedding.embed import Subject
from mirada.groups.job import cluster_library
from mirada.jobs import attempts, leases
from mirada.jobs.attempt import Attempt
from mirada.jobs.ledger import (
    BACKFILL_EMBEDDINGS,
    CAPTION_IMAGE,
    CLASSIFY_IMAGES,
    CLUSTER_LIBRARY,
    CREATE_EMBEDDINGS,
    EXPAND_LABEL,
    GENERATE_IMAGE,
    REBUILD_INDEX,
)
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, Vector
from mirada.kernel.errors import EmbeddingSpaceMismatch, MiradaError, NotFound, Unavailable
from mirada.kernel.images import RgbImage
from mirada.language_model import paying, spending
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

Work = Callable[[Runtime, Attempt], None]
REBUILD_LEASE_S = 600
"""How long publishing rights look taken to people; what counts is the fencing token."""


def create_embeddings(runtime: Runtime, attempt: Attempt) -> None:
    """Embed one content and make its images READY."""
    job = attempt.job
    if not runtime.settings.embeddings_enabled:
        # CONTRACT A: tasks return at once without work. A later backfill finds these images.
        _finish(runtime, attempt)
        return
    if job.subject_id is None:
        raise NotFound("The job names no content.")
    content_id = job.subject_id
    replace = bool(job.arguments.get("replace", False))
    space_id, space = runtime.space()
    if job.space_id not in (None, space_id):
        raise EmbeddingSpaceMismatch(
            f"The job is for embedding space {job.space_id}, this worker serves {space.name}."
        )
    while True:
        prompt_space_id = _prompt_space_id(runtime)
        with runtime.transaction() as session:
            subject = embed.begin_embedding(
                session, content_id, space_id, prompt_space_id=prompt_space_id, replace=replace
            )
            if subject is None:
                attempts.finish(session, job.id, attempt.token)
                return
        vector = colours = unread = None
        if subject.storage_key is not None:
            try:
                pixels = _pixels(runtime, content_id, subject.storage_key)
            except MiradaError as error:
                if not subject.has_vector:
                    raise
                # Only its colours are missing: what needs no bytes is done first.
                pixels, unread = None, error
            if pixels is None and unread is None:
                continue
            attempt.check()
            if pixels is not None:
                colours = palette.palette_of(pixels)
                if not subject.has_vector:
                    vector = runtime.encoder.encode_images([pixels])[0]
        prompt_space, prompt_vectors, trouble = _embed_prompts(runtime, subject)
        attempt.check()
        with runtime.transaction() as session:
            is_complete = embed.store_vectors(
                session,
                subject,
                image=None if vector is None else (space_id, space, vector),
                palette=colours,
                prompt_space=prompt_space,
                prompt_vectors=prompt_vectors,
                replace=replace,
            )
            if is_complete and unread is None:
                # In the same transaction: an attempt that lost its lease takes its vectors back.
                attempts.finish(session, job.id, attempt.token)
        if is_complete and unread is not None:
            raise unread
        if is_complete:
            return
        if trouble is not None:
            # The picture can be found by now; its prompt is tried again.
            raise trouble
        replace = False


def _prompt_space_id(runtime: Runtime) -> int | None:
    with runtime.reading() as session:
        return spaces.pinned_space_id(session, SpaceKind.PROMPT)


def _pixels(runtime: Runtime, content_id: int, storage_key: str) -> RgbImage | None:
    """Return a stored picture as the encoder takes it; None when it was deleted meanwhile."""
    try:
        path = runtime.image_store.path(storage_key)
        return runtime.decoder.decode(path, min_side_px=2 * runtime.encoder.input_side_px)
    except NotFound as error:
        with runtime.reading() as session:
            if not embed.is_stored(session, content_id, storage_key):
                return None
        # The row is there and its file is not: a mount that is away comes back, so this is retried.
        raise Unavailable(error.detail) from error


def _embed_prompts(
    runtime: Runtime, subject: Subject
) -> tuple[tuple[int, EmbeddingSpace] | None, dict[int, Vector], MiradaError | None]:
    """Return the prompt space, vectors by text id, and why there are none where there should be."""
    texts = subject.prompts
    if not texts and not subject.has_due_prompts:
        return None, {}, None
    try:
        prompt_space, encoder = runtime.space(SpaceKind.PROMPT), runtime.text_encoder
        vectors = encoder.encode_texts(list(texts.values())) if texts else ()
    except MiradaError as error:
        return None, {}, error
    return prompt_space, dict(zip(texts, vectors, strict=True)), None


def backfill_embeddings(runtime: Runtime, attempt: Attempt) -> None:
    """Queue the embedding of every content that has no vector, and ring for each."""
    job = attempt.job
    if not runtime.settings.embeddings_enabled:
        _finish(runtime, attempt)
        return
    space_id, _ = runtime.space()
    batch_size = int(job.arguments.get("batch_size", backfill.BATCH_SIZE))
    skip_existing = bool(job.arguments.get("skip_existing", True))
    only_unqueued = bool(job.arguments.get("only_unqueued", False))
    with runtime.reading() as session:
        total = backfill.count_to_embed(
            session, space_id, skip_existing=skip_existing, only_unqueued=only_unqueued
        )
    done, after = 0, 0
    while True:
        attempt.report(done, max(total, done))
        with runtime.transaction() as session:
            page = backfill.queue_page(
                session,
                space_id,
                after_content_id=after,
                batch_size=batch_size,
                skip_existing=skip_existing,
                only_unqueued=only_unqueued,
                request_id=job.request_id,
            )
        if page.last_content_id is None:
            break
        for job_id in page.job_ids:
            runtime.doorbell.ring(job_id, CREATE_EMBEDDINGS)
        after = page.last_content_id
        done += len(page.job_ids)
    with runtime.transaction() as session:
        attempts.report_progress(session, job.id, attempt.token, done, done)
        attempts.finish(session, job.id, attempt.token)


def rebuild_index(runtime: Runtime, attempt: Attempt) -> None:
    """Build and publish a snapshot of the space's index."""
    space_id = attempt.job.space_id
    if space_id is None:
        space_id, _ = runtime.space()
    name = leases.rebuild_lease(space_id)
    with runtime.transaction() as session:
        # The ledger lets one attempt of a space's rebuild run. Whoever held this right before has
        # lost theirs, and the higher token keeps them from publishing.
        fencing_token = leases.acquire(
            session, name, attempt.token, REBUILD_LEASE_S, take_over=True
        )
    assert fencing_token is not None
    try:
        record = index_rebuild.rebuild_index(runtime.index(space_id), fencing_token, attempt.report)
    finally:
        with runtime.transaction() as session:
            leases.release(session, name, fencing_token)
    if record is not None:
        logger.info("Published %s with %s vectors", record.name, record.row_count)
    _finish(runtime, attempt)


def expand_label(runtime: Runtime, attempt: Attempt) -> None:
    """Ask the language model about a label, and keep what it says."""
    settings, asked = runtime.settings, attempt.job.arguments
    label, model = str(asked["label"]), str(asked["model"])
    is_outdated = asked["prompt_version"] != PROMPT_VERSION
    with runtime.reading() as session:
        # This may be the second of two jobs that were queued while the first one came to its end.
        is_known = expansions.look_up(session, label, model).expansion is not None
    if is_known or is_outdated or not settings.enable_llm_label_expansion:
        _finish(runtime, attempt)
        return
    order = paying.order_of(attempt, spending.EXPANSION, f"label:{label}"[:191])
    timeout_s = settings.llm_label_expansion_timeout_ms / 1000
    with paying.paid_call(runtime, order, expansion_question(label, model, timeout_s)) as reply:
        found = parse(reply.text)
    with runtime.transaction() as session:
        expansions.store_expansion(session, label, model, found)
        attempts.finish(session, attempt.job.id, attempt.token)


def _finish(runtime: Runtime, attempt: Attempt) -> None:
    with runtime.transaction() as session:
        attempts.finish(session, attempt.job.id, attempt.token)


WORK: dict[str, Work] = {
    CREATE_EMBEDDINGS: create_embeddings,
    BACKFILL_EMBEDDINGS: backfill_embeddings,
    REBUILD_INDEX: rebuild_index,
    CLUSTER_LIBRARY: cluster_library,
    EXPAND_LABEL: expand_label,
    CLASSIFY_IMAGES: classify_images,
    CAPTION_IMAGE: caption_image,
    GENERATE_IMAGE: generate_image,
}
