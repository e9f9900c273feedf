"""Copies for pgvector of the rows that have none: made at the start, in pages."""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, inspect, not_, select, text
from sqlalchemy.orm import Session

from mirada.db.deadlocks import in_transaction
from mirada.db.models import ChangeCounter
from mirada.db.names import PREFIX
from mirada.db.pgvector.copying import sample_numbers
from mirada.db.pgvector.tables import (
    MAX_DIMENSION,
    as_bytes,
    name_of,
    table_of_copies,
    why_not,
)
from mirada.db.pgvector_models import PgvectorSpace
from mirada.db.session import Database
from mirada.db.stored_vectors import intact
from mirada.db.vector_tables import table_of
from mirada.kernel.embeddings import EmbeddingSpace, Vector

ROWS_TOGETHER = 2_000
"""Rows copied in one transaction: 4 MB of 512-d vectors, about half a second."""
LOCK_CLASS = 7_304_184
"""The first number of PostgreSQL's advisory locks for this; the second is the space's."""
_COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
_COPY_END = struct.pack(">h", -1)

log = logging.getLogger(__name__)


def prepare(database: Database, space_id: int, space: EmbeddingSpace) -> str | None:
    """Make the table of a space's copies, and copy every row that has none.

    It is repeated at every start: what an interrupted one left, or an older version wrote, is copied.

    Returns:
        Why the space cannot be searched by pgvector, as a sentence; None when it can.

    Raises:
        Unavailable: the database cannot be reached.
    """
    if space.dimension > MAX_DIMENSION:
        return f"Its vectors have more than {MAX_DIMENSION:,} numbers."
    with database.transaction() as session:
        connection = session.connection()
        _lock(connection, space_id)
        reason = why_not(connection)
        if reason is not None:
            return reason
        is_listed = session.get(PgvectorSpace, space_id) is not None
        if not is_listed or not inspect(connection).has_table(name_of(space_id)):
            _make_table(connection, space_id, space.dimension)
        if not is_listed:
            # After the table, before the row: every writer either has committed, or will see the row.
            session.execute(select(ChangeCounter.id).with_for_update())
            session.add(PgvectorSpace(space_id=space_id, dimension=space.dimension))
    _copy_missing(database, space_id, space)
    return None


def forget(database: Database, space_id: int) -> None:
    """Drop the copies of a space that nothing searches any more; harmless to repeat, and elsewhere."""
    if database.engine.dialect.name != "postgresql":
        return
    with database.transaction() as session:
        # First the row, under the counter's lock: every writer has written its copies, or sees none.
        session.execute(select(ChangeCounter.id).with_for_update())
        listed = session.get(PgvectorSpace, space_id)
        if listed is None:
            return
        dimension = listed.dimension
        session.delete(listed)
    with database.transaction() as session:
        table_of_copies(space_id, dimension).drop(session.connection(), checkfirst=True)


def _make_table(connection: Connection, space_id: int, dimension: int) -> None:
    table = table_of_copies(space_id, dimension)
    table.drop(connection, checkfirst=True)
    table.create(connection)
    name = name_of(space_id)
    # Else vectors of 1,000 numbers and more lie in another table, where a scan fetches each of them.
    connection.execute(text(f"ALTER TABLE {name} ALTER COLUMN v SET STORAGE PLAIN"))
    connection.execute(text(f"CREATE INDEX ix_{name}_sample ON {name} (sample)"))
    # The condition that an image is READY is an expression. Without statistics of it one row in 200 is
    # expected to meet it, and thousands are fetched one by one.
    connection.execute(
        text(
            f"CREATE STATISTICS IF NOT EXISTS {PREFIX}image_is_ready "
            f"ON (coalesce(status, '')) FROM {PREFIX}images"
        )
    )


def _copy_missing(database: Database, space_id: int, space: EmbeddingSpace) -> None:
    done, last_id = 0, 0

    def copy_page(session: Session) -> tuple[int, int]:
        return _copy_page(session, space_id, space, last_id)

    while True:
        copied, last_id = in_transaction(database, copy_page)
        done += copied
        if copied:
            log.info("%d vectors of the %s space were copied for pgvector.", done, space.kind)
        if not last_id:
            break
    if done:
        with database.transaction() as session:
            vectors = table_of(space.kind).entity.__tablename__
            session.execute(text(f"ANALYZE {name_of(space_id)}, {vectors}, {PREFIX}images"))


def _copy_page(
    session: Session, space_id: int, space: EmbeddingSpace, after_id: int
) -> tuple[int, int]:
    """Copy the next rows without a copy; return how many, and the last id looked at, 0 at the end."""
    connection = session.connection()
    _lock(connection, space_id)
    entity: Any = table_of(space.kind).entity
    copies = table_of_copies(space_id, space.dimension)
    rows = session.execute(
        select(entity.id, entity.vector, entity.crc32)
        .where(
            entity.space_id == space_id,
            entity.is_deleted.is_(False),
            entity.id > after_id,
            not_(select(copies.c.id).where(copies.c.id == entity.id).exists()),
        )
        .order_by(entity.id)
        .limit(ROWS_TOGETHER)
        # Nobody changes or deletes them before their copies are committed.
        .with_for_update(read=True)
    ).all()
    good = [
        (row.id, row.crc32, vector)
        for row in rows
        if (vector := intact(row.vector, row.crc32, space.dimension)) is not None
    ]
    for row in rows:
        if intact(row.vector, row.crc32, space.dimension) is None:
            tell_damage(row.id)
    if good:
        _copy_in(connection, name_of(space_id), good)
    return len(good), rows[-1].id if len(rows) == ROWS_TOGETHER else 0


def _copy_in(connection: Connection, table: str, rows: Sequence[tuple[int, int, Vector]]) -> None:
    driver: Any = connection.connection.driver_connection
    vectors = as_bytes(np.stack([vector for _, _, vector in rows]))
    samples = sample_numbers([id_ for id_, _, _ in rows])
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {table} (id, crc32, sample, v) FROM STDIN WITH (FORMAT binary)") as copy,
    ):
        copy.write(_COPY_HEADER)
        for (id_, crc32, _), sample, vector in zip(rows, samples, vectors, strict=True):
            numbers = struct.pack(">hiqiqiq", 4, 8, id_, 8, crc32, 8, sample)
            copy.write(numbers + struct.pack(">i", len(vector)) + vector)
        copy.write(_COPY_END)


def tell_damage(embedding_id: int) -> None:
    """Log that a stored vector is not searched, and what to do."""
    log.error(
        "Embedding %d does not match its length or checksum, or is no unit vector, and is not "
        "searched; delete the image or embed it again.",
        embedding_id,
    )


def _lock(connection: Connection, space_id: int) -> None:
    """Let one process at a time prepare a space, until the transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(:class, :space)"),
        {"class": LOCK_CLASS, "space": space_id},
    )
