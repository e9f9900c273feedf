"""Several searches at once: what they share is done together."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import MiradaError
from mirada.runtime import Runtime
from mirada.search.queries import SPACE_KINDS, Source, text_vectors
from mirada.search.request import SearchRequest


def with_all_texts_encoded(
    runtime: Runtime, requests: Iterable[SearchRequest], audience: Audience
) -> None:
    """Encode the texts of several searches in one batch for each space, so that all find them remembered.

    Nothing is raised: what cannot be encoded is told by the search that needs it. Without
    ENABLE_EMBEDDING_CACHE nothing is remembered, and each search encodes its own.
    """
    if not runtime.settings.enable_embedding_cache:
        return
    texts: dict[SpaceKind, list[str]] = {}
    for request in requests:
        sources = [request.source] if request.weights is None else request.weights
        for source in sources:
            kind = SPACE_KINDS.get(Source(source))
            if kind is not None:
                wanted = texts.setdefault(kind, [])
                wanted += [str(part.value) for part in request.texts.values()]
    for kind, wanted in texts.items():
        if wanted:
            with suppress(MiradaError):
                text_vectors(runtime, wanted, kind, audience)
