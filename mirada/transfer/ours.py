"""What only our own exports say of an image: who wrote its texts, and the vectors of those."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from mirada.captions import embedding as captions
from mirada.db import changes
from mirada.db.models import Image
from mirada.db.texts import locked_text_id
from mirada.embedding.texts import store_prompt_vectors
from mirada.kernel.embeddings import EmbeddingSpace, Vector
from mirada.kernel.prompts import normalised_prompt
from mirada.transfer.records import Record

PLAIN = (
    *("caption_source", "caption_model", "caption_language", "caption_prompt_version"),
    *("description_model", "description_language", "description_prompt_version"),
    *("is_hidden", "hidden_reason", "generation", "external_name"),
)
"""Columns of `images` that an export has as they are."""
TEXTS = ("prompt", "caption", "description")


@dataclass(frozen=True, slots=True)
class TextVector:
    """The vector of a text that an image shows.

    Attributes:
        vector: (d,) float32, unit norm.
        space: the row of its space here, and the space.
    """

    vector: Vector
    space: tuple[int, EmbeddingSpace]


def source_of(record: Record, source: str) -> str:
    """Return the source that an image is known by: the one that it had before it was exported."""
    return str(record.more.get("external_source") or source)


def id_of(record: Record) -> str:
    """Return the external id that an image is known by."""
    return str(record.more.get("external_id") or record.external_id)


def complete_row(session: Session, row: Image, record: Record) -> None:
    """Write into a new row, which is not flushed yet, what an upload does not say."""
    more = record.more
    if not more:
        return
    for name in PLAIN:
        if name in more:
            setattr(row, name, more[name])
    if more.get("updated_at") is not None:
        row.updated_at = more["updated_at"]
    description = more.get("description")
    if description:
        row.description = description
        row.description_text_id = locked_text_id(session, normalised_prompt(description))
        row.description_is_due = True


def store_texts(session: Session, row: Image, record: Record) -> None:
    """Write the vectors of an image's texts, and let it be found by them."""
    for name in TEXTS:
        found: TextVector | None = record.more.get(f"{name}_vector")
        text_id: int | None = getattr(row, f"{name}_text_id")
        if found is None or text_id is None:
            continue
        if name == "prompt":
            _show(session, row, "prompt_is_due")
            changes.touch_texts(session, [text_id])
        else:
            captions.show_vectors(session, row.content_id, row.owner_id, [text_id])
        store_prompt_vectors(session, *found.space, {text_id: found.vector})


def _show(session: Session, row: Image, is_due: str) -> None:
    images: Any = Image.__table__
    session.execute(
        update(images)
        .where(images.c.id == row.id)
        .values({is_due: False, "updated_at": images.c.updated_at})
    )
