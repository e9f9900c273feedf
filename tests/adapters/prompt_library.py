"""Prompts beside a library of synthetic pictures: texts, their vectors, and which image has which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import bindparam, insert, select, update

from mirada.db import changes, spaces
from mirada.db.memory_models import TextContent, TextEmbedding
from mirada.db.models import Image
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind, to_blob
from mirada.kernel.prompts import prompt_digest
from testing.vector_library import Library


def add_prompts(library: Library, vectors: Matrix, prompt_of: Sequence[int]) -> int:
    """Give the images, in the order of their ids, prompts; return the prompt space's id.

    Args:
        library: whose images get prompts.
        vectors: (t, d) float32 unit rows, one per distinct prompt.
        prompt_of: row of `vectors` per image; -1 for an image without a prompt.
    """
    space = EmbeddingSpace(SpaceKind.PROMPT, "test", "v1", "none", vectors.shape[1])
    with library.database.transaction() as session:
        space_id = spaces.pin_space(session, space).id
        bodies = [f"prompt {number}" for number in range(len(vectors))]
        session.execute(
            insert(TextContent),
            [{"sha256": prompt_digest(body), "body": body} for body in bodies],
        )
        texts = list(session.execute(select(TextContent.id).order_by(TextContent.id)).scalars())
        rows = []
        for text_id, vector in zip(texts, vectors, strict=True):
            blob, crc32 = to_blob(vector)
            rows.append({"space_id": space_id, "text_id": text_id, "vector": blob, "crc32": crc32})
        session.execute(insert(TextEmbedding), rows)
        images = list(session.execute(select(Image.id).order_by(Image.id)).scalars())
        table: Any = Image.__table__
        session.connection().execute(
            update(table)
            .where(table.c.id == bindparam("image"))
            .values(prompt_text_id=bindparam("text"), prompt=bindparam("body")),
            [
                {"image": image, "text": texts[prompt], "body": bodies[prompt]}
                for image, prompt in zip(images, np.asarray(prompt_of).tolist(), strict=True)
                if prompt >= 0
            ],
        )
        changes.touch_texts(session, texts)
    return space_id
