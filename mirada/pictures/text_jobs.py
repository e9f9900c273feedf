"""The work that follows a change of an image's prompt or caption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from mirada.captions.writing import request_caption
from mirada.db import spaces
from mirada.db.models import Image, Job
from mirada.embedding.job import queue_embedding
from mirada.runtime import Runtime


def queue_text_jobs(
    runtime: Runtime,
    session: Session,
    image: Image,
    changed: Mapping[str, Any],
    request_id: str | None,
) -> list[Job]:
    """Queue the embedding of a changed prompt and caption; return the jobs to ring for after the commit.

    Args:
        runtime: whose settings say whether anything is embedded.
        session: the transaction in which the image was changed.
        image: as it is now.
        changed: what its owner sent.
        request_id: follows the work into the worker's log.
    """
    jobs: list[Job] = []
    if not runtime.settings.embeddings_enabled:
        return jobs
    if changed.get("prompt") and image.prompt_is_due:
        jobs.append(
            queue_embedding(
                session,
                image.content_id,
                spaces.pinned_space_id(session),
                owner_id=image.owner_id,
                request_id=request_id,
            )
        )
    if changed.get("caption"):
        jobs.append(request_caption(session, image.content_id, image.owner_id, request_id))
    return jobs
