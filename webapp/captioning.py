"""From words to the images whose captions mean them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mirada.captions.encoder import caption_encoder, is_paid
from mirada.captions.writing import request_caption
from mirada.db import spaces
from mirada.embedding.job import queue_embedding
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import Conflict
from mirada.search import by_vector
from mirada.search.by_vector import FoundImage
from webapp.callers.auth import Caller, require_user
from webapp.http.counting import SEARCHES
from webapp.http.current import current_runtime
from webapp.http.tracing import request_id
from webapp.schemas.search import CAPTIONS
from webapp.searching import (
    LOADING_WAIT_S,
    SWITCHED_OFF,
    QueryKind,
    safety_in_force,
    wait_for_freshness,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from mirada.db.models import Image
    from mirada.kernel.embeddings import Vector

Bell = tuple[int, str]
"""The number and the kind of a job to ring for after the commit."""
QUERY_TIMEOUT_S = 5.0
"""Somebody waits for the answer."""


def request_embedding(session: Session, image: Image, changed: Mapping[str, Any]) -> list[Bell]:
    """Queue the embedding of a prompt and a caption that their owner has just typed; return whom to ring.

    Args:
        session: the transaction in which the image was changed.
        image: as it is now.
        changed: what its owner sent.
    """
    bells: list[Bell] = []
    if not current_runtime().settings.embeddings_enabled:
        return bells
    if changed.get("prompt") and image.prompt_is_due:
        job = queue_embedding(
            session,
            image.content_id,
            spaces.pinned_space_id(session),
            owner_id=image.owner_id,
            request_id=request_id(),
        )
        bells.append((job.id, job.kind))
    if changed.get("caption"):
        job = request_caption(session, image.content_id, image.owner_id, request_id())
        bells.append((job.id, job.kind))
    return bells


def find_by_caption(query: str, caller: Caller, k: int) -> list[FoundImage]:
    """Return the k images whose captions are nearest in meaning; none before the first caption.

    Raises:
        Conflict: embeddings are switched off, or the settings name another model for captions.
        Unavailable: the encoder takes its time to load.
    """
    runtime = current_runtime()
    if not runtime.settings.embeddings_enabled:
        raise Conflict(SWITCHED_OFF)
    with runtime.reading() as session:
        space = spaces.pinned_space(session, SpaceKind.CAPTION)
    if space is None:
        return []
    vector = vector_of_caption(query)
    index = runtime.index(space.id)
    wait_for_freshness(index, runtime.vector_source(space.id))
    safety = safety_in_force()
    with runtime.reading() as session:
        found = by_vector.find(
            session,
            index,
            vector,
            caller.audience,
            k=k,
            safety=safety,
            kind=SpaceKind.CAPTION,
        )
    SEARCHES.labels(QueryKind.TEXT, CAPTIONS, found.way, found.verdict).inc()
    return found.results


def vector_of_caption(text: str, wait_s: float = LOADING_WAIT_S) -> Vector:
    """Return the unit vector of a text in the caption space.

    Raises:
        Conflict: embeddings are switched off, the settings name another model for captions, or a
            server embeds them and there is no key.
        NotAuthenticated: the question costs money, and nobody says who asks.
        Unavailable: the encoder takes longer than `wait_s` to load, or nobody embeds it just now.
        BudgetReached: the question costs money, and today's is spent.
    """
    runtime = current_runtime()
    if not runtime.settings.embeddings_enabled:
        raise Conflict(SWITCHED_OFF)
    if is_paid(runtime):
        # It costs next to nothing, but the installation's money, and so not everybody's to spend.
        require_user()
    else:
        runtime.text_encoder_within(wait_s)
    encoder = caption_encoder(runtime, timeout_s=QUERY_TIMEOUT_S)
    vectors = runtime.remembering(encoder).encode_texts([text])
    return vectors[0]
