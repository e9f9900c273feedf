"""The jobs of a new image: the one that embeds its picture, and the one that captions it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mirada.captions.writing import caption_job, request_caption
from mirada.db.models import Image, Job
from mirada.embedding.job import embedding_job, queue_embedding
from mirada.jobs import ledger
from mirada.kernel.images import ImageStatus
from mirada.pictures.new_image import Processing

Jobs = tuple[Job | None, Job | None]
"""The job that embeds a picture, and the one that embeds or writes its caption; None for none."""


def first_jobs(session: Session, image: Image, processing: Processing) -> Jobs:
    """Add the jobs of an image of new bytes, as `queued_jobs` does; the next flush inserts them."""
    content_id, owner_id, request_id = image.content.id, image.owner.id, processing.request_id
    embedding = caption = None
    if processing.embeds:
        embedding = embedding_job(content_id, processing.space_id, owner_id, request_id)
        ledger.add_first(session, embedding)
    if _wants_caption_job(image, processing):
        caption = caption_job(content_id, owner_id, request_id)
        ledger.add_first(session, caption)
    return embedding, caption


def queued_jobs(session: Session, image: Image, processing: Processing) -> Jobs:
    """Queue the job that embeds the picture, and the one that embeds or writes its caption."""
    embedding = caption = None
    if image.status != ImageStatus.READY and processing.embeds:
        embedding = queue_embedding(
            session,
            image.content_id,
            processing.space_id,
            owner_id=image.owner_id,
            request_id=processing.request_id,
        )
    if _wants_caption_job(image, processing):
        caption = request_caption(session, image.content_id, image.owner_id, processing.request_id)
    return embedding, caption


def _wants_caption_job(image: Image, processing: Processing) -> bool:
    """Return whether a caption that a person wrote is to be embedded, or the picture described."""
    is_embedded = image.caption is not None and processing.embeds
    return is_embedded or (processing.captions and image.auto_caption)
