"""Removes tombstones of deleted vectors that no index snapshot needs any more."""

from __future__ import annotations

from sqlalchemy import delete, false, func, select, update

from mirada.db import changes
from mirada.db.chunks import chunks
from mirada.db.models import IndexSnapshot, Installation
from mirada.db.session import Database
from mirada.db.vector_tables import VectorTable


def purge_tombstones(database: Database, space_id: int, table: VectorTable) -> int:
    """Remove a space's tombstones that no valid snapshot needs, and return their number.

    A process that loads a snapshot needs the tombstones newer than it. The floor is raised first, so
    that an index behind it is loaded again. Without a snapshot no tombstone is needed.
    """
    row = table.entity
    with database.transaction() as session:
        # The row lock orders two purges, so that the floor never falls.
        floor = session.execute(
            select(Installation.tombstone_floor).where(Installation.id == 1).with_for_update()
        ).scalar_one()
        oldest = session.execute(
            select(func.min(IndexSnapshot.change_seq)).where(IndexSnapshot.set_aside_at.is_(None))
        ).scalar_one()
        if oldest is None:
            oldest = changes.current_seq(session)
        if oldest > floor:
            session.execute(
                update(Installation).where(Installation.id == 1).values(tombstone_floor=oldest)
            )
    with database.reading() as session:
        dead = select(row.id).where(
            row.space_id == space_id, row.change_seq <= oldest, row.is_deleted != false()
        )
        ids = list(session.execute(dead).scalars())
    # One statement over all rows would hold its locks longer than every time-out.
    for chunk in chunks(ids):
        with database.transaction() as session:
            session.execute(delete(row).where(row.id.in_(chunk)))
    return len(ids)
