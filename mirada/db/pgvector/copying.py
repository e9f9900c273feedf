"""Copies of vectors for pgvector, written in the transactions that change the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Table, and_, delete, or_, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from mirada.db.chunks import chunks
from mirada.db.memory_models import TextEmbedding
from mirada.db.models import Embedding, Space
from mirada.db.pgvector.tables import table_of_copies
from mirada.db.pgvector_models import PgvectorSpace
from mirada.db.stored_vectors import intact
from mirada.db.vector_tables import table_of
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.similarity import sampling_order

_SPACES = select(PgvectorSpace.space_id, PgvectorSpace.dimension, Space.kind).join(
    Space, Space.id == PgvectorSpace.space_id
)


def copy_touched(session: Session, contents: Sequence[int], texts: Sequence[int]) -> None:
    """Bring the copies of touched contents' and texts' vectors up to date, in the same transaction.

    Call it under the lock of the change counter: `filling.prepare` takes it, too, so that a transaction which
    does not see a space here commits before its rows are copied.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    for space_id, dimension, kind in session.execute(_SPACES).all():
        entity: Any = table_of(SpaceKind(kind)).entity
        subject = Embedding.content_id if entity is Embedding else TextEmbedding.text_id
        touched = contents if entity is Embedding else texts
        copies = table_of_copies(space_id, dimension)
        for chunk in chunks(touched) if touched else ():
            _copy(
                session,
                entity,
                copies,
                dimension,
                [entity.space_id == space_id, subject.in_(chunk)],
            )


def _copy(
    session: Session, entity: Any, copies: Table, dimension: int, conditions: Sequence[Any]
) -> None:
    is_changed = or_(
        and_(entity.is_deleted.is_(False), copies.c.crc32.is_distinct_from(entity.crc32)),
        and_(entity.is_deleted.is_not(False), copies.c.id.is_not(None)),
    )
    found = session.execute(
        select(entity.id, entity.is_deleted, entity.vector, entity.crc32)
        .outerjoin(copies, copies.c.id == entity.id)
        .where(*conditions, is_changed)
    ).all()
    if not found:
        return
    alive = {
        row.id: (row.crc32, vector)
        for row in found
        if not row.is_deleted and (vector := intact(row.vector, row.crc32, dimension)) is not None
    }
    gone = [row.id for row in found if row.id not in alive]
    if gone:
        session.execute(delete(copies).where(copies.c.id.in_(gone)))
    if alive:
        fresh = postgresql.insert(copies)
        session.execute(
            fresh.on_conflict_do_update(
                index_elements=["id"],
                set_={"crc32": fresh.excluded.crc32, "v": fresh.excluded.v},
            ),
            [
                {"id": id_, "crc32": crc32, "sample": sample, "v": vector}
                for (id_, (crc32, vector)), sample in zip(
                    alive.items(), sample_numbers(list(alive)), strict=True
                )
            ],
        )


def sample_numbers(ids: Sequence[int]) -> list[int]:
    """Return the sampling order of embedding ids as signed numbers, in the same order."""
    order = sampling_order(np.array(ids, np.int64)) ^ np.uint64(1 << 63)
    numbers: list[int] = order.view(np.int64).tolist()
    return numbers
