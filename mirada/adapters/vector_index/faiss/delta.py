"""Changes since the snapshot, in arrays that only grow, so that readers need no lock.

A FAISS index is never added to while it serves: that killed the process in 6 of 6 measured runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.adapters.vector_index.access import AccessTable, Ids, Mask
from mirada.adapters.vector_index.faiss.block import VectorBlock
from mirada.kernel.embeddings import Matrix
from mirada.kernel.similarity import sampling_order
from mirada.ports import VectorRows

FIRST_CAPACITY = 256
COMPACT_ABOVE = 1_000
"""Replaced rows are dropped once there are this many more of them than live ones."""


@dataclass(frozen=True, slots=True)
class DeltaView:
    """The delta at one moment. Immutable: later changes go beyond its rows or into new arrays.

    Attributes:
        ids: (n,) int64.
        vectors: n rows.
        live: (n,) bool; False where a later row of the same id, or a tombstone, came.
        live_count: how many are live.
        access: who may see each row.
        order: (n,) uint64, see `kernel.similarity.sampling_order`.
    """

    ids: Ids
    vectors: VectorBlock
    live: Mask
    live_count: int
    access: AccessTable
    order: npt.NDArray[np.uint64]


class Delta:
    """Collects changes. Used by one thread at a time; what `view` returned is never touched again."""

    def __init__(self, dimension: int) -> None:
        """Begin empty."""
        self._dimension = dimension
        self._count = 0
        self._vectors: Matrix = np.empty((FIRST_CAPACITY, dimension), np.float32)
        self._ids: Ids = np.empty(FIRST_CAPACITY, np.int64)
        self._seqs: Ids = np.empty(FIRST_CAPACITY, np.int64)
        self._live: Mask = np.zeros(FIRST_CAPACITY, bool)
        self._access: list[tuple[Ids, Ids, Mask]] = []
        self._row_of: dict[int, int] = {}
        self._tombstones: dict[int, int] = {}

    def apply(self, rows: VectorRows) -> None:
        """Add or replace the live rows and bury the dead ones; repeating it changes nothing."""
        for id_ in rows.ids.tolist():
            old = self._row_of.pop(id_, None)
            if old is not None:
                self._live[old] = False
        self._tombstones.update(
            zip(rows.ids[rows.dead].tolist(), rows.change_seqs[rows.dead].tolist(), strict=True)
        )
        alive = np.flatnonzero(~rows.dead)
        first, last = self._count, self._count + alive.size
        self._make_room(last)
        self._vectors[first:last] = rows.vectors[alive]
        self._ids[first:last] = rows.ids[alive]
        self._seqs[first:last] = rows.change_seqs[alive]
        self._live[first:last] = True
        self._count = last
        for row, id_ in enumerate(rows.ids[alive].tolist(), start=first):
            self._row_of[id_] = row
            self._tombstones.pop(id_, None)
        new_row = np.full(rows.ids.size, -1, np.int64)
        new_row[alive] = np.arange(first, last)
        if rows.access_rows.size:
            self._access.append((new_row[rows.access_rows], rows.access_owners, rows.access_public))
        if self._count > 2 * len(self._row_of) + COMPACT_ABOVE:
            self._compact()

    def newer_than(self, change_seq: int) -> VectorRows:
        """Return what the delta knows of later numbers, as the source would."""
        rows = np.flatnonzero(self._live[: self._count] & (self._seqs[: self._count] > change_seq))
        buried = [(id_, seq) for id_, seq in self._tombstones.items() if seq > change_seq]
        new_row = np.full(self._count, -1, np.int64)
        new_row[rows] = np.arange(rows.size)
        access_rows, owners, public = self._entries()
        access_rows = new_row[access_rows]
        kept = access_rows >= 0
        nothing = np.zeros((len(buried), self._dimension), np.float32)
        return VectorRows(
            ids=np.concatenate([self._ids[rows], np.array([id_ for id_, _ in buried], np.int64)]),
            change_seqs=np.concatenate(
                [self._seqs[rows], np.array([seq for _, seq in buried], np.int64)]
            ),
            vectors=np.concatenate([self._vectors[rows], nothing]),
            dead=np.arange(rows.size + len(buried)) >= rows.size,
            access_rows=access_rows[kept],
            access_owners=owners[kept],
            access_public=public[kept],
        )

    def view(self) -> DeltaView:
        """Return the delta as it is now; only what is small is copied, the vectors are shared."""
        count = self._count
        live = self._live[:count].copy()
        access_rows, owners, public = self._entries()
        return DeltaView(
            ids=self._ids[:count],
            vectors=VectorBlock.of_array(self._vectors[:count]),
            live=live,
            live_count=len(self._row_of),
            access=AccessTable.build(count, access_rows, owners, public),
            order=sampling_order(self._ids[:count]),
        )

    def _entries(self) -> tuple[Ids, Ids, Mask]:
        if len(self._access) != 1:
            empty = np.empty(0, np.int64)
            parts = [(empty, empty, np.empty(0, bool)), *self._access]
            rows, owners, public = (np.concatenate(column) for column in zip(*parts, strict=True))
            self._access = [(rows, owners, public)]
        return self._access[0]

    def _make_room(self, rows: int) -> None:
        if rows <= self._ids.size:
            return
        capacity = max(rows, 2 * self._ids.size)
        # Views hold the old arrays; they are left as they are.
        for name in ("_vectors", "_ids", "_seqs", "_live"):
            old = getattr(self, name)
            new = np.zeros((capacity, *old.shape[1:]), old.dtype)
            new[: self._count] = old[: self._count]
            setattr(self, name, new)

    def _compact(self) -> None:
        fresh = Delta(self._dimension)
        fresh.apply(self.newer_than(-1))
        self.__dict__.update(fresh.__dict__)
