"""Find contents without a vector and queue their embedding, page by page; running it twice is harmless."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Select, and_, func, select
from sqlalchemy.orm import Session

from mirada.db.contents import lock_content
from mirada.db.models import Content, Embedding
from mirada.usecases import embed, jobs

BATCH_SIZE = 50
"""CONTRACT A: backfill_embeddings_task(batch_size=50, skip_existing=True)."""


@dataclass(frozen=True, slots=True)
class BackfillPage:
    """What one page came to.

    Attributes:
        last_content_id: where the next page begins; None when there was nothing left.
        job_ids: the jobs to ring after the commit.
    """

    last_content_id: int | None
    job_ids: list[int]


def count_to_embed(
    session: Session, space_id: int, *, after_content_id: int = 0, skip_existing: bool = True
) -> int:
    """Return how many contents with higher ids are to be embedded in the space."""
    pending = _to_embed(space_id, after_content_id, skip_existing).subquery()
    return session.execute(select(func.count()).select_from(pending)).scalar_one()


def queue_page(
    session: Session,
    space_id: int,
    *,
    after_content_id: int = 0,
    batch_size: int = BATCH_SIZE,
    skip_existing: bool = True,
    request_id: str | None = None,
) -> BackfillPage:
    """Queue create_embeddings_task for the next contents by ascending id.

    Args:
        session: a transaction of its own: it locks the contents of one page.
        space_id: the space whose vectors are missing.
        after_content_id: the last page's `last_content_id`.
        batch_size: contents per page, >= 1.
        skip_existing: false computes every vector again and writes over the old one.
        request_id: follows the work into the worker's log.
    """
    query = _to_embed(space_id, after_content_id, skip_existing).limit(batch_size)
    content_ids = session.execute(query.order_by(Content.id)).scalars().all()
    job_ids = []
    for content_id in content_ids:
        if lock_content(session, content_id) is None:
            continue
        embed.await_images(session, content_id, only_failed=True)
        job = jobs.enqueue(
            session,
            jobs.CREATE_EMBEDDINGS,
            subject_id=content_id,
            space_id=space_id,
            arguments={} if skip_existing else {"replace": True},
            request_id=request_id,
        )
        job_ids.append(job.id)
    return BackfillPage(content_ids[-1] if content_ids else None, job_ids)


def _to_embed(space_id: int, after_content_id: int, skip_existing: bool) -> Select[int]:
    query = select(Content.id).where(Content.id > after_content_id)
    if skip_existing:
        query = query.outerjoin(
            Embedding,
            and_(
                Embedding.content_id == Content.id,
                Embedding.space_id == space_id,
                Embedding.is_deleted.is_(False),
            ),
        ).where(Embedding.id.is_(None))
    return query
