"""Pictures and texts whose vectors the database holds: what graphs of the same model can be checked with."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.classifier_models import LabelVector
from mirada.db.memory_models import TextContent, TextEmbedding
from mirada.db.models import Content, Embedding, Space
from mirada.db.stored_vectors import intact
from mirada.kernel.embeddings import SpaceKind, Vector
from mirada.kernel.labels import PLACEHOLDER, Label, ensemble_key, ensemble_texts

MOST = 16
"""Pictures, and texts, that are asked for: one batch."""


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Vectors that a model gave for things that are stored.

    Attributes:
        preprocessing: what the steps from pixels to tensor are called in its space.
        dimension: of the vectors.
        pictures: storage keys of originals, each with its (d,) float32 unit vector.
        texts: the same of texts; the vector is of their mean's direction.
    """

    preprocessing: str
    dimension: int
    pictures: tuple[tuple[str, Vector], ...]
    texts: tuple[tuple[tuple[str, ...], Vector], ...]


def witnesses_of(session: Session, encoder: str, pretrained: str) -> Witnesses | None:
    """Return the newest of a model, by its names in a space; None where it has no space."""
    of_model = select(Space).where(Space.encoder == encoder, Space.pretrained == pretrained)
    spaces = {SpaceKind(space.kind): space for space in session.execute(of_model).scalars()}
    image = spaces.get(SpaceKind.IMAGE)
    if image is None:
        return None
    texts = _labels(session, image)
    if SpaceKind.PROMPT in spaces:
        texts += _prompts(session, spaces[SpaceKind.PROMPT])
    return Witnesses(
        image.preprocessing, image.dimension, tuple(_pictures(session, image)), tuple(texts[:MOST])
    )


def _pictures(session: Session, space: Space) -> list[tuple[str, Vector]]:
    query = select(Content.storage_key, Embedding.vector, Embedding.crc32)
    query = query.join(Content, Content.id == Embedding.content_id)
    query = query.where(
        Embedding.space_id == space.id, Embedding.is_deleted.is_(False), Content.storage_key != ""
    )
    rows = session.execute(query.order_by(Embedding.id.desc()).limit(MOST))
    return [
        (row.storage_key, vector)
        for row in rows
        if (vector := intact(row.vector, row.crc32, space.dimension)) is not None
    ]


def _prompts(session: Session, space: Space) -> list[tuple[tuple[str, ...], Vector]]:
    query = select(TextContent.body, TextEmbedding.vector, TextEmbedding.crc32)
    query = query.join(TextContent, TextContent.id == TextEmbedding.text_id)
    query = query.where(TextEmbedding.space_id == space.id, TextEmbedding.is_deleted.is_(False))
    rows = session.execute(query.order_by(TextEmbedding.id.desc()).limit(MOST))
    return [
        ((row.body,), vector)
        for row in rows
        if (vector := intact(row.vector, row.crc32, space.dimension)) is not None
    ]


def _labels(session: Session, space: Space) -> list[tuple[tuple[str, ...], Vector]]:
    """Return labels whose texts are known: a name alone, or in the templates that labels usually have."""
    query = select(LabelVector.key, LabelVector.label, LabelVector.vector, LabelVector.crc32)
    rows = session.execute(query.where(LabelVector.space_id == space.id).limit(4 * MOST))
    found = []
    for row in rows:
        vector = intact(row.vector, row.crc32, space.dimension)
        for templates in (None, (PLACEHOLDER,)):
            label = Label(row.label)
            if vector is not None and ensemble_key(label, templates=templates) == row.key:
                found.append((ensemble_texts(label, templates=templates), vector))
    return found[:MOST]
