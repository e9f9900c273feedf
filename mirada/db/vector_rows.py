"""The database as a vector index sees it: one space's rows, its change counter, its snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, Select, and_, delete, false, func, select, update

from mirada.db import changes
from mirada.db.chunks import rows_in
from mirada.db.models import IndexSnapshot, Installation, Lease, Space, utc_now
from mirada.db.passing import PassingVectors
from mirada.db.permitted_vectors import permitted_vectors
from mirada.db.session import Database
from mirada.db.tombstones import purge_tombstones
from mirada.db.vector_pages import VectorPages
from mirada.db.vector_tables import VectorTable, table_of
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import EmbeddingSpace
from mirada.kernel.errors import LeaseLost, NotFound
from mirada.ports import SnapshotRecord, VectorRows


def lease_name(space_id: int) -> str:
    """Return the name of the lease that a builder of this space's index holds."""
    return f"rebuild_index:{space_id}"


class DatabaseVectors:
    """A VectorSource over the tables. Thread-safe; every call is a fresh transaction of its own."""

    def __init__(self, database: Database, space_id: int) -> None:
        """Keep the database; nothing is read yet."""
        self._database = database
        self._space_id = space_id

    @cached_property
    def space(self) -> EmbeddingSpace:
        """The space whose rows these are. Raises NotFound when the database has no such space."""
        with self._database.reading() as session:
            row = session.get(Space, self._space_id)
        if row is None:
            raise NotFound(f"There is no embedding space {self._space_id}.")
        return row.to_space()

    @cached_property
    def _table(self) -> VectorTable:
        return table_of(self.space.kind)

    @cached_property
    def _pages(self) -> VectorPages:
        return VectorPages(self._table, self._space_id, self.space.dimension)

    @cached_property
    def _passing(self) -> PassingVectors:
        return PassingVectors(self._database, self._table, self._space_id)

    def current_seq(self) -> int:
        """Return the last committed number of the change counter."""
        with self._database.reading() as session:
            return changes.current_seq(session)

    def db_epoch(self) -> str:
        """Return the database's identity; a restored backup gets another one."""
        with self._database.reading() as session:
            return session.execute(select(Installation.db_epoch)).scalar_one()

    def tombstone_floor(self) -> int:
        """Return the highest number whose tombstones may already be purged."""
        with self._database.reading() as session:
            return session.execute(select(Installation.tombstone_floor)).scalar_one()

    def changes_since(self, change_seq: int, limit: int) -> VectorRows:
        """Return rows with a higher number by (change_seq, id); the last number is complete."""
        with self._database.reading() as session:
            return self._pages.changed(session, change_seq, limit)

    def live_rows_through(self, change_seq: int, page_rows: int = 5_000) -> Iterator[VectorRows]:
        """Yield the live rows with change_seq <= the given one, in pages by ascending id."""
        with self._database.reading() as session:
            spans = list(self._pages.spans(session, page_rows))
        for span in spans:
            with self._database.reading() as session:
                page = self._pages.live(session, span, change_seq)
            if page.ids.size:
                yield page

    def passing(self, scope: Scope) -> npt.NDArray[np.int64]:
        """Return the ids, ascending, of live vectors that an image in scope shows."""
        return self._passing.ids(scope)

    def permitted(self, scope: Scope) -> Select[int]:
        """Return the SELECT of the same ids."""
        return permitted_vectors(self._table, self._space_id, scope)

    def changed_among(self, ids: Sequence[int], change_seq: int) -> frozenset[int]:
        """Return which of these ids have a higher number, or no row any more."""
        row = self._table.entity
        same = select(row.id).where(row.space_id == self._space_id, row.change_seq <= change_seq)
        with self._database.reading() as session:
            return frozenset(ids) - {id_ for (id_,) in rows_in(session, same, row.id, ids)}

    def count_live(self) -> int:
        """Return how many live rows the space has."""
        return self._count(self._table.entity.is_deleted == false())

    def count_changed_since(self, change_seq: int, through_id: int | None = None) -> int:
        """Return how many rows, dead or alive, have a higher number, and an id up to that one."""
        # Both conditions are answered from the index on (space_id, change_seq, id) alone.
        row = self._table.entity
        condition: ColumnElement[bool] = row.change_seq > change_seq
        if through_id is not None:
            condition = and_(condition, row.id <= through_id)
        return self._count(condition)

    def snapshots(self) -> list[SnapshotRecord]:
        """Return the published snapshots that were not set aside, newest first."""
        with self._database.reading() as session:
            return [
                SnapshotRecord(
                    row.name,
                    row.change_seq,
                    row.db_epoch,
                    row.sha256,
                    row.row_count,
                    row.manifest,
                    row.created_at,
                )
                for row in session.execute(self._good_snapshots()).scalars()
            ]

    def record_snapshot(self, record: SnapshotRecord, fencing_token: int) -> None:
        """Publish. Raises LeaseLost when a newer builder holds the lease."""
        with self._database.transaction() as session:
            # The lease's row stays locked until the commit, so a newer builder comes either
            # before this check or after the snapshot.
            newest = session.execute(
                select(Lease.fencing_token)
                .where(Lease.name == lease_name(self._space_id))
                .with_for_update()
            ).scalar_one_or_none()
            if newest is not None and newest > fencing_token:
                raise LeaseLost("Another process builds this index now; its snapshot will count.")
            session.add(
                IndexSnapshot(
                    name=record.name,
                    space_id=self._space_id,
                    change_seq=record.change_seq,
                    db_epoch=record.db_epoch,
                    sha256=record.sha256,
                    row_count=record.row_count,
                    manifest=dict(record.manifest),
                    fencing_token=fencing_token,
                )
            )

    def set_aside(self, name: str, reason: str) -> None:
        """Mark a snapshot as never to be served again; the first reason stays."""
        with self._database.transaction() as session:
            session.execute(
                update(IndexSnapshot)
                .where(IndexSnapshot.name == name, IndexSnapshot.set_aside_at.is_(None))
                .values(set_aside_at=utc_now(), set_aside_reason=reason)
            )

    def retire_snapshots(self, keep: int) -> list[str]:
        """Forget all but the newest good snapshots; return the names, to delete their files.

        Kept is the newest of each of the `keep` highest change numbers. So a snapshot with a graph takes
        the place of the one of the same rows without. It does not take that of the one before.
        """
        with self._database.transaction() as session:
            newest: dict[int, int] = {}
            for row in session.execute(self._good_snapshots()).scalars():
                newest.setdefault(row.change_seq, row.id)
            kept = list(newest.values())[:keep]
            mine = IndexSnapshot.space_id == self._space_id
            old = and_(mine, IndexSnapshot.id.not_in(kept))
            names = list(session.execute(select(IndexSnapshot.name).where(old)).scalars())
            session.execute(delete(IndexSnapshot).where(old))
            return names

    def purge_tombstones(self) -> int:
        """Remove tombstones that no good snapshot needs any more and return how many there were."""
        return purge_tombstones(self._database, self._space_id, self._table)

    def _good_snapshots(self) -> Any:
        return (
            select(IndexSnapshot)
            .where(IndexSnapshot.space_id == self._space_id, IndexSnapshot.set_aside_at.is_(None))
            .order_by(IndexSnapshot.change_seq.desc(), IndexSnapshot.id.desc())
        )

    def _count(self, condition: ColumnElement[bool]) -> int:
        with self._database.reading() as session:
            return session.execute(
                select(func.count())
                .select_from(self._table.entity)
                .where(self._table.entity.space_id == self._space_id, condition)
            ).scalar_one()
