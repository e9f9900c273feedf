"""Captioned posts for a text: by what people and a model say of them, and by what they show, fused."""

from __future__ import annotations

from dataclasses import dataclass

from mirada.db import spaces
from mirada.embedding.interactive import require_embeddings
from mirada.pictures.shown_images import ShownImage
from mirada.runtime import Runtime
from mirada.search.asked import Asked, current_change_seq
from mirada.search.found import FoundImage, Hit
from mirada.search.queries import SPACE_KINDS, Source
from mirada.search.request import of_text
from mirada.search.run import run

SOURCES = (Source.CAPTIONS, Source.PICTURES)
"""Captions and descriptions are one source. Pictures are the one that every embedded image has."""


@dataclass(frozen=True, slots=True)
class FoundPost:
    """One post, best first among others.

    Attributes:
        image: as the viewer is shown it.
        similarity: cosine in [-1, 1], in the source in which it stands out most.
        hit: its place in the ranking, with its relevance.
    """

    image: ShownImage
    similarity: float
    hit: Hit


def search_posts(runtime: Runtime, text: str, asked: Asked, k: int) -> list[FoundPost]:
    """Return the k posts nearest to a text among all embedded images that the viewer may see.

    A source that cannot be asked now, or not by this viewer, is left out. So a caller without a key
    finds by pictures where a question to captions costs money.

    Raises:
        Conflict: embeddings are switched off, or the change number was never given.
        Unavailable: no source can be asked now.
        InvalidInput: k is out of range.
    """
    require_embeddings(runtime)
    if not _is_anything_embedded(runtime):
        if asked.min_change_seq is not None:
            asked.require_given(current_change_seq(runtime))
        return []
    found = run(runtime, of_text(text, asked, dict.fromkeys(SOURCES, 1.0), k))
    return [FoundPost(each.image, _similarity(each), each.hit) for each in found.results]


def _is_anything_embedded(runtime: Runtime) -> bool:
    with runtime.reading() as session:
        return any(
            spaces.pinned_space(session, SPACE_KINDS[source]) is not None for source in SOURCES
        )


def _similarity(found: FoundImage) -> float:
    best = max(found.found_by, key=lambda part: part.relevance)
    return best.similarity or 0.0
