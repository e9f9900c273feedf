"""Where a space's vectors are kept, and which images show what they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mirada.db.memory_models import TextEmbedding
from mirada.db.models import Embedding, Image
from mirada.domain.embeddings import SpaceKind


@dataclass(frozen=True, slots=True)
class VectorTable:
    """A table of vectors. Pictures' and texts' are apart, for their subjects' numbers overlap.

    Attributes:
        entity: the mapped class.
        subject: its column that names what was embedded: a content, a prompt's or caption's text.
        shown_by: the column of `images` that names the same.
    """

    entity: type[Embedding] | type[TextEmbedding]
    subject: Any
    shown_by: Any


PICTURES = VectorTable(Embedding, Embedding.content_id, Image.content_id)
PROMPTS = VectorTable(TextEmbedding, TextEmbedding.text_id, Image.prompt_text_id)
CAPTIONS = VectorTable(TextEmbedding, TextEmbedding.text_id, Image.caption_text_id)
_BY_KIND = {SpaceKind.IMAGE: PICTURES, SpaceKind.PROMPT: PROMPTS, SpaceKind.CAPTION: CAPTIONS}


def table_of(kind: SpaceKind) -> VectorTable:
    """Return where vectors of that kind of space are."""
    return _BY_KIND[kind]
