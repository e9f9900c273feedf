"""Sources that a text is compared with, by the names that requests, replies and metrics use."""

from __future__ import annotations

from enum import StrEnum

from mirada.kernel.embeddings import SpaceKind


class Source(StrEnum):
    """A source; pictures, prompts and captions are compared by meaning, keywords as they are written."""

    PICTURES = "pictures"
    PROMPTS = "prompts"
    CAPTIONS = "captions"
    KEYWORDS = "keywords"


ALL = "all"
"""All of these together, in a request."""
FUSED = "fused"
"""The way in which several rankings became one, in replies and metrics."""
SPACE_KINDS = {
    Source.PICTURES: SpaceKind.IMAGE,
    Source.PROMPTS: SpaceKind.PROMPT,
    Source.CAPTIONS: SpaceKind.CAPTION,
}
SOURCE_OF_KIND = {kind: source for source, kind in SPACE_KINDS.items()}
