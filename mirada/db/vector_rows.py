"""The database as a vector index sees it: one space's rows, its change counter, its snapshots."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, Row, Select, and_, delete, false, func, select, true, update
from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.db.chunks import rows_in
from mirada.db.classifier_models import ClassifiedPicture
from mirada.db.models import Image, IndexSnapshot, Installation, Lease, Space, utc_now
from mirada.db.permitted_vectors import permitted_vectors
from mirada.db.session import Database
from mirada.db.stored_vectors import intact
from mirada.db.tombstones import purge_tombstones
from mirada.db.vector_tables import PICTURE_VECTORS, VectorTable, table_of
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import BLOB_DTYPE, EmbeddingSpace, Matrix
from mirada.kernel.errors import LeaseLost, NotFound
from mirada.ports import SnapshotRecord, VectorRows

logger = logging.getLogger(__name__)


def lease_name(space_id: int) -> str:
    """Return the name of the lease that a builder of this space's index holds."""
    return f"rebuild_index:{space_id}"


class DatabaseVectors:
    """A VectorSource over the tables. Thread-safe; every call is a fresh transaction of its own.

    A page's vectors and its images are two statements. A change that commits between them carries
    a higher number than the page, so whoever follows the numbers reads that row again.
    """

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
    def _columns_read(self) -> tuple[Any, ...]:
        row = self._table.entity
        subject = self._table.subject.label("subject_id")
        return (row.id, subject, row.change_seq, row.is_deleted, row.crc32, row.vector)

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
        row = self._table.entity
        mine = row.space_id == self._space_id
        by_number = (row.change_seq, row.id)
        with self._database.reading() as session:
            rows = list(
                session.execute(
                    select(*self._columns_read)
                    .where(mine, row.change_seq > change_seq)
                    .order_by(*by_number)
                    .limit(limit)
                ).all()
            )
            if len(rows) == limit:
                rows += session.execute(
                    select(*self._columns_read)
                    .where(
                        mine,
                        row.change_seq == rows[-1].change_seq,
                        row.id > rows[-1].id,
                    )
                    .order_by(*by_number)
                ).all()
            return self._columns(session, rows)

    def live_rows_through(self, change_seq: int, page_rows: int = 5_000) -> Iterator[VectorRows]:
        """Yield the live rows with change_seq <= the given one, in pages by ascending id."""
        row = self._table.entity
        last_id = 0
        while True:
            with self._database.reading() as session:
                rows = session.execute(
                    select(*self._columns_read)
                    .where(
                        row.space_id == self._space_id,
                        row.id > last_id,
                        row.change_seq <= change_seq,
                        row.is_deleted == false(),
                    )
                    .order_by(row.id)
                    .limit(page_rows)
                ).all()
                page = self._columns(session, rows)
            if rows:
                yield page
            if len(rows) < page_rows:
                return
            last_id = int(page.ids[-1])

    def passing(self, scope: Scope) -> npt.NDArray[np.int64]:
        """Return the ids, ascending, of live vectors that an image in scope shows."""
        with self._database.reading() as session:
            ids = session.execute(self.permitted(scope)).scalars().all()
        return np.sort(np.fromiter(ids, np.int64, len(ids)))

    def permitted(self, scope: Scope) -> Select[int]:
        """Return the SELECT of the same ids."""
        return permitted_vectors(self._table, self._space_id, scope)

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
        """Forget all but the `keep` newest good snapshots; return the names, to delete their files."""
        with self._database.transaction() as session:
            kept = [row.id for row in session.execute(self._good_snapshots()).scalars()][:keep]
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

    def _columns(self, session: Session, rows: Sequence[Row[Any]]) -> VectorRows:
        dead = np.fromiter((bool(row.is_deleted) for row in rows), bool, len(rows))
        vectors = self._vectors(rows, dead)
        access_rows, owners, public = _access(session, rows, self._table)
        seen = ~dead[access_rows]
        return VectorRows(
            ids=np.fromiter((row.id for row in rows), np.int64, len(rows)),
            change_seqs=np.fromiter((row.change_seq for row in rows), np.int64, len(rows)),
            vectors=vectors,
            dead=dead,
            access_rows=access_rows[seen],
            access_owners=owners[seen],
            access_public=public[seen],
        )

    def _vectors(self, rows: Sequence[Row[Any]], dead: npt.NDArray[np.bool_]) -> Matrix:
        """Return (n, d) float32; marks in `dead` the rows whose BLOB is damaged."""
        nothing = bytes(self.space.dimension * BLOB_DTYPE.itemsize)
        blobs = []
        for position, row in enumerate(rows):
            blob = row.vector
            if dead[position]:
                blob = nothing
            elif intact(blob, row.crc32, self.space.dimension) is None:
                logger.error(
                    "Embedding %d does not match its length or checksum and is not searched; "
                    "delete the image or embed it again.",
                    row.id,
                )
                dead[position] = True
                blob = nothing
            blobs.append(blob)
        joined = np.frombuffer(b"".join(blobs), dtype=BLOB_DTYPE)
        return joined.astype(np.float32, copy=False).reshape(len(rows), self.space.dimension)


def _access(
    session: Session, rows: Sequence[Row[Any]], table: VectorTable
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    position = {row.subject_id: index for index, row in enumerate(rows)}
    # Before its own job has run, an image shows no vector that others brought.
    found: list[tuple[int, int, bool]] = []
    for way in table.ways:
        shown = select(way.shown_by, Image.owner_id, Image.is_public).where(way.is_through)
        found += [
            (position[subject_id], owner_id, bool(is_public))
            for subject_id, owner_id, is_public in rows_in(session, shown, way.shown_by, position)
        ]
    if table is PICTURE_VECTORS:
        sent = select(ClassifiedPicture.content_id, ClassifiedPicture.owner_id).where(
            ClassifiedPicture.sent_bytes == true()
        )
        found += [
            (position[content_id], -owner_id, False)
            for content_id, owner_id in rows_in(
                session, sent, ClassifiedPicture.content_id, position
            )
        ]
    count = len(found)
    return (
        np.fromiter((row for row, _, _ in found), np.int64, count),
        np.fromiter((owner for _, owner, _ in found), np.int64, count),
        np.fromiter((public for _, _, public in found), bool, count),
    )
