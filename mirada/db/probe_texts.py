"""Texts that a new index measures its recall with."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.models import Image

PROBE_TEXTS = 128
"""Texts whose recall a build measures: 1,280 neighbours, known to within 0.008 at 0.98."""
MAX_PROBE_CHARS = 300
"""More than any text tower reads."""
COMMON_WORDS = (
    "cat",
    "dog",
    "happy face",
    "heart",
    "food",
    "car",
    "tree",
    "house",
    "sun",
    "people",
    "gato",
    "cachorro",
    "rosto feliz",
    "coração",
    "comida",
    "carro",
    "árvore",
    "casa",
    "sol",
    "perro",
    "cara feliz",
    "corazón",
    "coche",
    "árbol",
    "personas",
    "música",
    "fiesta",
    "praia",
)
"""What people type first, for a library whose images carry no words of their own."""


def probe_texts(session: Session) -> list[str]:
    """Return texts like those that people search with: newest captions and prompts, common words.

    Texts lie off the pictures' distribution, so a graph must prove its recall on them as well.
    """
    texts = list(COMMON_WORDS)
    for column in (Image.caption, Image.prompt):
        newest = select(column).where(column.is_not(None)).order_by(Image.id.desc())
        found = session.execute(newest.limit(PROBE_TEXTS)).scalars()
        texts += [text[:MAX_PROBE_CHARS] for text in found if text]
    return list(dict.fromkeys(texts))[:PROBE_TEXTS]
