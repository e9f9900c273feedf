"""Vectors: pictures that wait for nobody to make theirs, and vectors of what is gone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from sqlalchemy import and_, exists, false, select
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.contents import lock_content
from mirada.db.deadlocks import in_transaction
from mirada.db.memory_models import TextContent, TextEmbedding
from mirada.db.models import Content, Embedding, Image, Installation, Job
from mirada.db.spaces import pinned_space_id
from mirada.doctor import kinds
from mirada.doctor.visit import Finding, Visit, ids_of
from mirada.embedding import embed
from mirada.embedding.backfill import contents_to_embed
from mirada.embedding.job import CREATE_EMBEDDINGS, queue_embedding
from mirada.jobs import ledger
from mirada.kernel.images import ImageStatus
from mirada.runtime import Runtime

_WAITING = (ImageStatus.PENDING, ImageStatus.PROCESSING)


def pictures_without_vector(visit: Visit) -> Iterator[Finding]:
    """Yield findings on pictures that lack a vector, their own or a prompt's, and have no job."""
    runtime = visit.runtime
    with runtime.reading() as session:
        space_id = session.execute(select(Installation.image_space_id)).scalar_one_or_none()
        if space_id is None or not runtime.settings.embeddings_enabled:
            return
        query = contents_to_embed(session, space_id, 0, skip_existing=True, only_unqueued=True)
    for content_id in ids_of(runtime, query, Content.id):
        yield visit.mended(
            kinds.NO_VECTOR, f"content {content_id}", partial(_queue, runtime, content_id)
        )


def images_out_of_step(visit: Visit) -> Iterator[Finding]:
    """Yield findings on images whose status contradicts whether their content has a vector."""
    runtime = visit.runtime
    if not runtime.settings.embeddings_enabled:
        return
    unfinished = exists().where(
        Job.kind == CREATE_EMBEDDINGS,
        Job.subject_id == Image.content_id,
        Job.state.in_(ledger.UNFINISHED),
    )
    ready = and_(Image.status == ImageStatus.READY, ~_has_vector(), ~unfinished)
    waiting = and_(Image.status.in_(_WAITING), _has_vector(), ~unfinished)
    for kind, condition in ((kinds.READY_WITHOUT_VECTOR, ready), (kinds.WAITING, waiting)):
        query = select(Image.id).where(condition)
        for image_id in ids_of(runtime, query, Image.id):
            yield visit.mended(kind, f"image {image_id}", partial(_queue_image, runtime, image_id))


def _has_vector() -> Any:
    pinned = select(Installation.image_space_id).scalar_subquery()
    return exists().where(
        Embedding.content_id == Image.content_id,
        Embedding.space_id == pinned,
        Embedding.is_deleted == false(),
    )


def _queue_image(runtime: Runtime, image_id: int) -> bool:
    with runtime.reading() as session:
        query = select(Image.content_id).where(Image.id == image_id)
        content_id = session.execute(query).scalar_one_or_none()
    return content_id is None or _queue(runtime, content_id)


def _queue(runtime: Runtime, content_id: int) -> bool:
    """Queue the embedding of a content; what lacks nothing becomes READY by it."""

    def queued(session: Session) -> tuple[int, str] | None:
        content = lock_content(session, content_id)
        if content is None or not content.storage_key:
            return None
        embed.await_images(session, content_id, only_failed=True)
        job = queue_embedding(session, content_id, pinned_space_id(session))
        return job.id, job.kind

    job = in_transaction(runtime.database, queued)
    if job is not None:
        runtime.doorbell.ring(*job)
    return job is not None


def vectors_of_nothing(visit: Visit) -> Iterator[Finding]:
    """Yield findings on vectors whose content or text is gone without a tombstone in their place."""
    runtime = visit.runtime
    for entity, subject, owner, what in (
        (Embedding, Embedding.content_id, Content.id, "content"),
        (TextEmbedding, TextEmbedding.text_id, TextContent.id, "text"),
    ):
        query = select(entity.id).where(
            entity.is_deleted == false(), ~exists().where(owner == subject)
        )
        for vector_id in ids_of(runtime, query, entity.id):
            yield visit.mended(
                kinds.VECTOR_OF_NOTHING,
                f"vector {vector_id} of a {what}",
                partial(_bury, runtime, entity, vector_id),
            )


def _bury(runtime: Runtime, entity: Any, vector_id: int) -> bool:
    """Make a vector a tombstone, so that every index drops it."""

    def buried(session: Session) -> None:
        row = session.get(entity, vector_id, with_for_update=True)
        if row is None or row.is_deleted:
            return
        row.is_deleted, row.vector, row.crc32 = True, b"", 0
        if entity is Embedding:
            changes.touch(session, [row.content_id])
        else:
            changes.touch_texts(session, [row.text_id])

    in_transaction(runtime.database, buried)
    return True
