"""Pages of stored vectors as columns: packed by the server, checked, and with who may see them."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    false,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from mirada.db import packed
from mirada.db.chunks import chunks
from mirada.db.classifier_models import ClassifiedPicture
from mirada.db.models import Image
from mirada.db.vector_tables import PICTURE_VECTORS, VectorTable
from mirada.kernel.embeddings import BLOB_DTYPE, are_units
from mirada.ports import VectorRows

logger = logging.getLogger(__name__)

FEW_ROWS = 256
"""So few changes are read in one statement; more are worth a second one, which packs them."""
DENSE = 2
"""Of a span of ids with up to so many for each that is wanted, all are read: a long IN list costs more."""
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class VectorPages:
    """The rows of one space in its table.

    A page's vectors and its images are statements of their own. A change that commits between them
    carries a higher number than the page, so whoever follows the numbers reads that row again.
    """

    table: VectorTable
    space_id: int
    dimension: int

    def spans(self, session: Session, page_rows: int) -> Iterator[tuple[int, int]]:
        """Yield ascending spans of ids, first and last, that hold at most `page_rows` rows each."""
        row = self.table.entity
        bits = literal_column(str(page_rows.bit_length() - 1), Integer)
        block = row.id.bitwise_rshift(bits)
        # The ids are in every index on the space, so no vector is read for this.
        blocks = session.execute(
            select(func.min(row.id), func.max(row.id), func.count())
            .where(row.space_id == self.space_id)
            .group_by(block)
        ).all()
        first, last, held = 0, 0, 0
        for lowest, highest, count in sorted(tuple(one) for one in blocks):
            if held and held + count > page_rows:
                yield first, last
                held = 0
            first = first if held else lowest
            last, held = highest, held + count
        if held:
            yield first, last

    def live(self, session: Session, span: tuple[int, int], change_seq: int) -> VectorRows:
        """Return the live rows of a span of ids with a number up to that one, by ascending id."""
        row = self.table.entity
        mine = and_(row.space_id == self.space_id, row.id.between(*span))
        condition = and_(mine, row.change_seq <= change_seq, row.is_deleted == false())
        found = packed.records(session, self._query(condition), self._blob_bytes)
        return self._columns(session, found, [mine])

    def changed(self, session: Session, change_seq: int, limit: int) -> VectorRows:
        """Return rows with a higher number, and tombstones, by (change_seq, id).

        There are at most about `limit` of them; of the last number there are all.
        """
        row = self.table.entity
        newer = and_(row.space_id == self.space_id, row.change_seq > change_seq)
        by_number = (row.change_seq, row.id)
        few = min(limit, FEW_ROWS)
        found = packed.row_by_row(
            session, self._query(newer).order_by(*by_number).limit(few), self._blob_bytes
        )
        if len(found.numbers) == few:
            last = session.execute(
                select(row.change_seq).where(newer).order_by(*by_number).offset(limit - 1).limit(1)
            ).scalar_one_or_none()
            condition = newer if last is None else and_(newer, row.change_seq <= last)
            found = packed.records(session, self._query(condition), self._blob_bytes)
        # Not by number: a row that has just got a newer one would seem to be shown by nobody.
        found = _by_id(found)
        return _by_number(self._columns(session, found, _these(row.id, found.numbers[:, 0])))

    @property
    def _blob_bytes(self) -> int:
        return self.dimension * BLOB_DTYPE.itemsize

    def _query(self, condition: ColumnElement[bool]) -> Select[Any]:
        row = self.table.entity
        length = func.length(row.vector)
        return select(row.id, row.change_seq, row.is_deleted, row.crc32, length, row.vector).where(
            condition
        )

    def _columns(
        self, session: Session, found: packed.Records, shown_to: Sequence[ColumnElement[bool]]
    ) -> VectorRows:
        """Return checked rows, by ascending id as they come.

        Args:
            session: for reading.
            found: the rows of `_query`.
            shown_to: conditions on vectors, for each of which to look for images; one holds for each
                of these rows, and they may hold for others.
        """
        ids, change_seqs, deleted, sums, lengths = found.numbers.T
        dead = deleted.astype(bool)
        vectors = found.blobs.view(BLOB_DTYPE).reshape(ids.size, self.dimension)
        damaged = (lengths != self._blob_bytes) | (_sums(found.blobs) != sums)
        # One NaN would stand first in every ranking and make each score's background one.
        damaged = ~dead & (damaged | ~are_units(vectors))
        for id_ in ids[damaged].tolist():
            logger.error(
                "Embedding %d does not match its length or checksum, or is no unit vector, and is "
                "not searched; delete the image or embed it again.",
                id_,
            )
        dead |= damaged
        vectors[dead] = 0
        # Of a few rows an empty table on the server's disk, which packing costs, is most of the wait.
        read = packed.numbers if ids.size >= FEW_ROWS else _one_by_one
        entries = self._access(session, shown_to if ids.size else (), read)
        places = np.minimum(np.searchsorted(ids, entries[:, 0]), max(ids.size - 1, 0))
        seen = (ids[places] == entries[:, 0]) & ~dead[places]
        return VectorRows(
            ids=np.ascontiguousarray(ids),
            change_seqs=np.ascontiguousarray(change_seqs),
            vectors=vectors.astype(np.float32, copy=False),
            dead=dead,
            access_rows=places[seen],
            access_owners=entries[seen, 1],
            access_public=entries[seen, 2].astype(bool),
        )

    def _access(
        self,
        session: Session,
        conditions: Sequence[ColumnElement[bool]],
        read: Callable[[Session, Select[Any]], Ids],
    ) -> Ids:
        """Return (m, 3): vector id, owner and whether public, of each image, and of classifiers."""
        row = self.table.entity
        # Before its own job has run, an image shows no vector that others brought. In the trash it shows
        # none at all.
        queries: list[Select[Any, Any, Any]] = [
            select(row.id, Image.owner_id, Image.is_public)
            .join(Image, way.shown_by == way.subject)
            .where(way.is_through, Image.trashed_at.is_(None))
            for way in self.table.ways
        ]
        if self.table is PICTURE_VECTORS:
            queries.append(
                select(row.id, -ClassifiedPicture.owner_id, false().label("is_public"))
                .join(ClassifiedPicture, ClassifiedPicture.content_id == self.table.subject)
                .where(ClassifiedPicture.sent_bytes == true())
            )
        found = np.concatenate(
            [np.empty((0, 3), np.int64)]
            + [
                read(session, query.where(condition))
                for query in queries
                for condition in conditions
            ]
        )
        # The same on every server, whatever order it reads in.
        return found[np.lexsort(found.T[::-1])]


def _these(id_: InstrumentedAttribute[int], ids: Ids) -> list[ColumnElement[bool]]:
    """Return conditions that hold for each of these ascending ids, and for few others."""
    if ids.size and ids[-1] - ids[0] < DENSE * ids.size:
        # What many images were changed together, mostly came together.
        return [id_.between(int(ids[0]), int(ids[-1]))]
    return [id_.in_(chunk) for chunk in chunks(ids.tolist())]


def _one_by_one(session: Session, query: Select[Any]) -> Ids:
    return packed.row_by_row(session, query).numbers


def _sums(blobs: npt.NDArray[np.void]) -> Ids:
    return np.fromiter(map(zlib.crc32, blobs), np.int64, blobs.size)


def _by_id(found: packed.Records) -> packed.Records:
    order = np.argsort(found.numbers[:, 0], kind="stable")
    return packed.Records(found.numbers[order], found.blobs[order])


def _by_number(rows: VectorRows) -> VectorRows:
    """Return the rows, which come by id, by (change_seq, id)."""
    order = np.argsort(rows.change_seqs, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    return VectorRows(
        ids=rows.ids[order],
        change_seqs=rows.change_seqs[order],
        vectors=rows.vectors[order],
        dead=rows.dead[order],
        access_rows=place[rows.access_rows],
        access_owners=rows.access_owners,
        access_public=rows.access_public,
    )
