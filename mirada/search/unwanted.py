"""The unwanted parts of a query: what is like them falls in the ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.stored_vectors import vectors_in
from mirada.db.vector_tables import table_of
from mirada.kernel.composing import spread_of, taken
from mirada.kernel.embeddings import Vector
from mirada.kernel.similarity import Match
from mirada.ports import SearchAnswer
from mirada.search.queries import Query


class LessTheUnwanted:
    """The finds of an index, less what is taken for being like the unwanted parts of a query."""

    def __init__(self, session: Session, query: Query) -> None:
        """Keep both; vectors are read as they are needed, each once."""
        self._session = session
        self._query = query
        self._vectors: dict[int, Vector] = {}

    def of(self, answer: SearchAnswer) -> list[Match]:
        """Return an answer's matches, best first, ties by id, with the similarities that are left.

        A match whose vector is gone or damaged keeps its own.
        """
        ids = [match.id for match in answer.matches]
        self._read(ids)
        known = [match_id for match_id in ids if match_id in self._vectors]
        lost = dict.fromkeys(ids, 0.0)
        if known:
            vectors = np.stack([self._vectors[match_id] for match_id in known])
            spreads = taken(vectors, self._query.unwanted)
            width = spread_of(answer.background).width
            lost |= dict(zip(known, (spreads * width).tolist(), strict=True))
        left = [Match(m.id, max(-1.0, m.similarity - lost[m.id])) for m in answer.matches]
        return sorted(left, key=lambda match: (-match.similarity, match.id))

    def _read(self, ids: Sequence[int]) -> None:
        missing = [match_id for match_id in ids if match_id not in self._vectors]
        entity: Any = table_of(self._query.space.kind).entity
        columns = select(entity.id, entity.vector, entity.crc32)
        dimension = self._query.space.dimension
        self._vectors |= vectors_in(self._session, columns, entity.id, missing, dimension)
