"""Judged queries over a library of synthetic vectors, and an encoder whose texts have given vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import select

from mirada.db.evaluation_models import EvaluationJudgement, EvaluationQuery, EvaluationSet
from mirada.db.models import Embedding, Image
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, Vector
from mirada.runtime import Runtime


class SpokenVectors:
    """A text encoder that knows its texts' vectors.

    Attributes:
        space: of the vectors.
        asked: how many texts came in each call.
    """

    def __init__(self, space: EmbeddingSpace, vectors: Mapping[str, Vector]) -> None:
        self.space = space
        self.asked: list[int] = []
        self._vectors = vectors

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        self.asked.append(len(texts))
        return np.stack([self._vectors[text] for text in texts])


def images_of(runtime: Runtime, embedding_ids: Sequence[int]) -> list[int]:
    """Return the first image that shows each of these vectors."""
    with runtime.reading() as session:
        rows = session.execute(
            select(Embedding.id, Image.id)
            .join(Image, Image.content_id == Embedding.content_id)
            .order_by(Image.id.desc())
        ).all()
    by_vector = {vector: image for vector, image in rows}  # noqa: C416 - rows are no pairs
    return [by_vector[each] for each in embedding_ids]


def keep_set(runtime: Runtime, owner_id: int, name: str = "pets") -> int:
    """Insert an empty set and return its id."""
    with runtime.transaction() as session:
        row = EvaluationSet(owner_id=owner_id, name=name)
        session.add(row)
        session.flush()
        return row.id


def keep_query(
    runtime: Runtime,
    set_id: int,
    text: str,
    good: Sequence[int] = (),
    bad: Sequence[int] = (),
    language: str | None = None,
) -> int:
    """Insert a query with judged images and return its id."""
    with runtime.transaction() as session:
        row = EvaluationQuery(set_id=set_id, text=text, language=language)
        session.add(row)
        session.flush()
        for images, is_good in ((good, True), (bad, False)):
            session.add_all(
                EvaluationJudgement(query_id=row.id, image_id=image, is_good=is_good)
                for image in images
            )
        session.flush()
        return row.id
