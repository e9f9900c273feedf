"""Nearest vectors by SQL: who may see them is decided in the very statement that finds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
from sqlalchemy import (
    Double,
    Select,
    Subquery,
    Table,
    bindparam,
    cast,
    distinct,
    func,
    literal_column,
    select,
    text,
    true,
)
from sqlalchemy.orm import Session

from mirada.db.models import ChangeCounter
from mirada.db.pgvector.filling import tell_damage
from mirada.db.pgvector.graph import Graph
from mirada.db.pgvector.tables import HalfVector, table_of_copies
from mirada.db.pgvector_models import PgvectorSpace
from mirada.db.session import Database
from mirada.db.stored_vectors import intact
from mirada.db.vector_tables import table_of
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, Vector
from mirada.kernel.errors import Unavailable
from mirada.ports import Near

SCAN_MEMORY = 8
"""Times work_mem that a walk may take to go on where its beam found too few permitted rows."""
_SETTINGS = {
    # Batches after the first may hold nearer rows than the last; strict order would throw them away.
    "hnsw.iterative_scan": "relaxed_order",
    "hnsw.scan_mem_multiplier": str(SCAN_MEMORY),
    # Compiling such a query takes longer than running it.
    "jit": "off",
    # A plan for any beam and number of results would leave the graph aside.
    "plan_cache_mode": "force_custom_plan",
}


class CopiedVectors:
    """One space's copies, as an index that searches in SQL reads them. Thread-safe."""

    def __init__(self, database: Database, space_id: int, space: EmbeddingSpace) -> None:
        """Keep the database; nothing is read yet. `filling.prepare` has made the copies."""
        self.database = database
        self.space_id = space_id
        self.space = space
        self.copies: Table = table_of_copies(space_id, space.dimension)
        self.entity: Any = table_of(space.kind).entity
        self.graph = Graph(database, space_id, space.dimension)

    @contextmanager
    def moment(self) -> Iterator[Moment]:
        """Yield the database at one moment: what a block reads belongs together.

        Raises:
            Unavailable: the database cannot be reached, or no longer has the copies.
        """
        with self.database.reading() as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield Moment(self, session, *self._begin(session))

    def _begin(self, session: Session) -> tuple[int, dict[str, Any] | None]:
        settings = [func.set_config(name, value, True) for name, value in _SETTINGS.items()]
        row = session.execute(
            select(ChangeCounter.v, PgvectorSpace.space_id, PgvectorSpace.graph, *settings)
            .outerjoin(PgvectorSpace, PgvectorSpace.space_id == self.space_id)
            .where(ChangeCounter.id == 1)
        ).one()
        if row.space_id is None:
            raise Unavailable("The vectors of pgvector were removed; start Mirada again.")
        return int(row.v), row.graph

    @cached_property
    def _query(self) -> Any:
        return cast(
            bindparam("query", type_=HalfVector(self.space.dimension)), self.copies.c.v.type
        )

    @cached_property
    def distance(self) -> Any:
        """The negative inner product of a copy with the parameter `query`, as the graph orders by it."""
        return self.copies.c.v.op("<#>", return_type=Double())(self._query)

    @cached_property
    def scanned_distance(self) -> Any:
        """The same number, in a form that no graph is used for."""
        return self.distance + literal_column("0.0")


class Moment:
    """The copies and their graph in one transaction; used by one thread."""

    def __init__(
        self, copied: CopiedVectors, session: Session, change_seq: int, graph: dict[str, Any] | None
    ) -> None:
        """Keep the session, the number it reflects, and what is known of the graph."""
        self._of = copied
        self._session = session
        self.change_seq = change_seq
        self.graph = graph

    def count(self, permitted: Select[int]) -> int:
        """Return how many vectors a SELECT of ids permits."""
        ids = permitted.subquery()
        return int(self._session.execute(select(func.count(distinct(ids.c.id)))).scalar_one())

    def sample(self, permitted: Select[int] | None, most: int, *, are_few: bool) -> Matrix:
        """Return those first in the sampling order; see `CopiesAtOneTime.sample`."""
        copies, entity = self._of.copies, self._of.entity
        query = select(copies.c.id, copies.c.sample)
        if permitted is not None and are_few:
            ids = permitted.subquery()
            query = query.join(ids, ids.c.id == copies.c.id).distinct()
        elif permitted is not None:
            query = query.join(_is_permitted(permitted.subquery(), copies), true())
        first = query.order_by(copies.c.sample).limit(most).subquery()
        rows = self._session.execute(
            select(entity.vector, entity.crc32).join(first, first.c.id == entity.id)
        ).all()
        dimension = self._of.space.dimension
        vectors = (intact(row.vector, row.crc32, dimension) for row in rows)
        return _matrix([vector for vector in vectors if vector is not None], dimension)

    def scan(
        self, query: Vector, most: int, permitted: Select[int], *, within: float | None = None
    ) -> Near:
        """Compare every permitted vector; see `CopiesAtOneTime.scan`."""
        copies, ids = self._of.copies, permitted.subquery()
        distance = self._of.scanned_distance
        found = (
            select(copies.c.id, distance.label("distance"))
            .join(ids, ids.c.id == copies.c.id)
            .distinct()
        )
        if within is not None:
            found = found.where(distance <= -within)
        return self._found(
            found.order_by(literal_column("distance"), copies.c.id).limit(most), query, most
        )

    def walk(self, query: Vector, most: int, ef_search: int, permitted: Select[int] | None) -> Near:
        """Walk through the graph; see `CopiesAtOneTime.walk`."""
        copies = self._of.copies
        self._session.execute(
            text("SELECT set_config('hnsw.ef_search', :beam, true)"), {"beam": str(ef_search)}
        )
        found = select(copies.c.id, self._of.distance.label("distance"))
        if permitted is not None:
            found = found.join(_is_permitted(permitted.subquery(), copies), true())
        return self._found(found.order_by(self._of.distance).limit(most), query, most)

    def _found(self, nearest: Select[Any], query: Vector, most: int) -> Near:
        entity = self._of.entity
        found = nearest.subquery()
        rows = self._session.execute(
            select(found.c.id, found.c.distance, entity.vector, entity.crc32)
            .join(entity, entity.id == found.c.id)
            .order_by(found.c.distance, found.c.id),
            {"query": query},
        ).all()
        dimension = self._of.space.dimension
        ids, vectors = [], []
        for row in rows:
            vector = intact(row.vector, row.crc32, dimension)
            if vector is None:
                tell_damage(row.id)
                continue
            ids.append(row.id)
            vectors.append(vector)
        return Near(
            np.array(ids, np.int64),
            _matrix(vectors, dimension),
            -float(rows[-1].distance) if len(rows) == most else None,
        )


def _matrix(vectors: Sequence[Vector], dimension: int) -> Matrix:
    return np.array(vectors, np.float32).reshape(len(vectors), dimension)


def _is_permitted(ids: Subquery, copies: Table) -> Any:
    # With a LIMIT it is asked row by row, in the order of the walk; without one the planner would gather
    # everything that is permitted first.
    return (
        select(literal_column("1").label("permitted"))
        .select_from(ids)
        .where(ids.c.id == copies.c.id)
        .limit(1)
        .lateral()
    )
