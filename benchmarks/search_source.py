"""Vectors in memory in place of the database's, so that engines are measured and not a database."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.search_vectors import Mask
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind
from mirada.ports import SnapshotRecord, VectorRows

SEQ = 1
EVERYBODY = 1
"""The owner who shows every row; owners after that show the rows of one subset each."""


class MemorySource:
    """A VectorSource of rows that never change; row n has the id n + 1.

    Attributes:
        owner_of: the owner who shows a subset, by its name.
        published: snapshots as they were published: kind, and processor time since `begin`, in s.
    """

    def __init__(self, vectors: Matrix, subsets: Mapping[str, Mask]) -> None:
        """Keep the vectors, and let an owner show each subset."""
        count = len(vectors)
        self._vectors = vectors
        self.space = EmbeddingSpace(
            SpaceKind.IMAGE, "synthetic", "none", "none", int(vectors.shape[1])
        )
        self.owner_of = {name: EVERYBODY + 1 + n for n, name in enumerate(subsets)}
        shown = [np.arange(count), *(np.flatnonzero(mask) for mask in subsets.values())]
        self._shown_rows = np.concatenate(shown)
        self._shown_by = np.repeat(
            np.arange(EVERYBODY, EVERYBODY + len(shown)), [rows.size for rows in shown]
        )
        order = np.argsort(self._shown_rows, kind="stable")
        self._shown_rows, self._shown_by = self._shown_rows[order], self._shown_by[order]
        self._records: list[SnapshotRecord] = []
        self._began = 0.0
        self.published: list[tuple[str, float]] = []

    def begin(self) -> None:
        """Count processor time from now on."""
        self._began = time.process_time()

    def current_seq(self) -> int:
        """Return the one number there is."""
        return SEQ

    def db_epoch(self) -> str:
        """Return a constant."""
        return "benchmark"

    def tombstone_floor(self) -> int:
        """Return 0: nothing was deleted."""
        return 0

    def changes_since(self, change_seq: int, limit: int) -> VectorRows:
        """Return what is newer: all rows, or none."""
        return self._page(0, len(self._vectors) if change_seq < SEQ else 0)

    def live_rows_through(self, change_seq: int, page_rows: int = 5_000) -> Iterator[VectorRows]:
        """Yield all rows."""
        for start in range(0, len(self._vectors), page_rows):
            yield self._page(start, min(start + page_rows, len(self._vectors)))

    def passing(self, scope: Scope) -> npt.NDArray[np.int64]:
        """Return every id: no filter is used here, subsets are owners."""
        return np.arange(1, len(self._vectors) + 1)

    def permitted(self, scope: Scope) -> Any:
        """Raise: there is no database."""
        raise NotImplementedError

    def changed_among(self, ids: Sequence[int], change_seq: int) -> frozenset[int]:
        """Return nothing: rows never change."""
        return frozenset()

    def count_live(self) -> int:
        """Return the number of rows."""
        return len(self._vectors)

    def count_changed_since(self, change_seq: int, through_id: int | None = None) -> int:
        """Return how many rows are newer."""
        return len(self._vectors) if change_seq < SEQ else 0

    def snapshots(self) -> list[SnapshotRecord]:
        """Return what was published, newest first."""
        return self._records[::-1]

    def record_snapshot(self, record: SnapshotRecord, fencing_token: int) -> None:
        """Keep the record, and when it came."""
        self.published.append((str(record.manifest["kind"]), time.process_time() - self._began))
        self._records.append(replace(record, created_at=datetime.now(UTC)))

    def set_aside(self, name: str, reason: str) -> None:
        """Raise: a snapshot of a benchmark must be good."""
        raise AssertionError(f"{name}: {reason}")

    def retire_snapshots(self, keep: int) -> list[str]:
        """Keep all."""
        return []

    def purge_tombstones(self) -> int:
        """Return 0."""
        return 0

    def _page(self, start: int, end: int) -> VectorRows:
        first, last = np.searchsorted(self._shown_rows, [start, end])
        return VectorRows(
            ids=np.arange(start + 1, end + 1),
            change_seqs=np.full(end - start, SEQ),
            vectors=self._vectors[start:end],
            dead=np.zeros(end - start, bool),
            access_rows=self._shown_rows[first:last] - start,
            access_owners=self._shown_by[first:last],
            access_public=np.ones(last - first, bool),
        )
