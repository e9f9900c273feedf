"""Where a space's vectors are kept, and which images show what they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mirada.db.memory_models import TextEmbedding
from mirada.db.models import Embedding, Image
from mirada.domain.embeddings import SpaceKind


@dataclass(frozen=True, slots=True)
class VectorTable:
    """A table of vectors. Pictures' and prompts' are apart, for their subjects' numbers overlap.

    Attributes:
        entity: the mapped class.
        subject: its column that names what was embedded: a content, a prompt's text.
        shown_by: the column of `images` that names the same.
    """

    entity: type[Embedding] | type[TextEmbedding]
    subject: Any
    shown_by: Any


PICTURES = VectorTable(Embedding, Embedding.content_id, Image.content_id)
PROMPTS = VectorTable(TextEmbedding, TextEmbedding.text_id, Image.prompt_text_id)
TABLES = (PICTURES, PROMPTS)


def table_of(kind: SpaceKind) -> VectorTable:
    """Return where vectors of that kind of space are."""
    return PICTURES if kind is SpaceKind.IMAGE else PROMPTS
