"""The table of a space's vectors, and the images that show what the vectors were made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.memory_models import TextEmbedding
from mirada.db.models import Embedding, Image
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.images import ImageStatus


@dataclass(frozen=True, slots=True)
class VectorTable:
    """A table of vectors. Pictures' and texts' are apart, for their subjects' numbers overlap.

    Attributes:
        entity: the mapped class.
        subject: its column that names what was embedded: a content, a prompt's or caption's text.
        shown_by: the column of `images` that names the same.
        is_through: the condition on `images` that their own job has come to it. Before that an image
            shows no vector: one that is there is of somebody else's upload, prompt or caption, and
            would tell that they have the very same.
        beside: the same table as shown by another column; None for most.
    """

    entity: type[Embedding] | type[TextEmbedding]
    subject: Any
    shown_by: Any
    is_through: ColumnElement[bool]
    beside: VectorTable | None = None

    @property
    def ways(self) -> tuple[VectorTable, ...]:
        """The table once for each column of `images` that shows its vectors."""
        return (self,) if self.beside is None else (self, *self.beside.ways)


_IS_READY = func.coalesce(Image.status, "") == ImageStatus.READY
"""Said so that no index is of use for it: SQLite would read all that are READY, not the few found."""
PICTURE_VECTORS = VectorTable(Embedding, Embedding.content_id, Image.content_id, _IS_READY)
PROMPT_VECTORS = VectorTable(
    TextEmbedding,
    TextEmbedding.text_id,
    Image.prompt_text_id,
    and_(_IS_READY, Image.prompt_is_due == false()),
)
DESCRIPTION_VECTORS = VectorTable(
    TextEmbedding,
    TextEmbedding.text_id,
    Image.description_text_id,
    and_(_IS_READY, Image.description_is_due == false()),
)
CAPTION_VECTORS = VectorTable(
    TextEmbedding,
    TextEmbedding.text_id,
    Image.caption_text_id,
    and_(_IS_READY, Image.caption_is_due == false()),
    beside=DESCRIPTION_VECTORS,
)
"""An image is found by its caption or its description, whichever is nearer."""
_BY_KIND = {
    SpaceKind.IMAGE: PICTURE_VECTORS,
    SpaceKind.PROMPT: PROMPT_VECTORS,
    SpaceKind.CAPTION: CAPTION_VECTORS,
}


def table_of(kind: SpaceKind) -> VectorTable:
    """Return where vectors of that kind of space are."""
    return _BY_KIND[kind]


def subjects_of(session: Session, table: VectorTable, image_ids: Iterable[int]) -> dict[int, int]:
    """Return by image id the subject that each image shows by now, in this one of the table's ways.

    An image without one is left out.
    Ask for the subjects' vectors next: joined in one statement, SQLite reads every vector of the space.
    """
    shown = select(Image.id, table.shown_by).where(table.is_through, table.shown_by.is_not(None))
    return dict(rows_in(session, shown, Image.id, image_ids))
