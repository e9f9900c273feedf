"""The vectors that pass a filter, remembered with the change number at which that was so.

A search reads the images again in SQL with the same filter, so what is remembered decides only which
vectors are looked at: one that is missing would not be found. So every change after which more may pass
takes a number of the change counter, by `changes.touch` or by `changes.note`. Nothing is taken from memory
whose number is not the newest.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from mirada.db import changes, packed
from mirada.db.filters import is_followed
from mirada.db.permitted_vectors import passing_vectors
from mirada.db.session import Database
from mirada.db.spaces import viewed_space_id
from mirada.db.vector_tables import VectorTable
from mirada.kernel.audience import Scope
from mirada.kernel.embeddings import SpaceKind

Ids = npt.NDArray[np.int64]
"""(n,) int64, ascending."""
MEMORY_BYTES = 64 << 20
"""Of one space in one process: eighty filters that 100,000 vectors pass."""
ENTRY_BYTES = 2_000
"""Of a filter itself and its place in the memory."""
MOST_CHANGED = 5_000
"""Vectors with new numbers that are looked at again; of more, everything is."""


_Asked = tuple[Scope, int | None]
"""A filter, and the image space in the view of who asks: scores that filters ask for are of a model."""


@dataclass(frozen=True, slots=True)
class _Known:
    """The vectors that passed a filter when the counter stood at a number."""

    ids: Ids
    change_seq: int

    @property
    def nbytes(self) -> int:
        """The memory that it takes, roughly."""
        return self.ids.nbytes + ENTRY_BYTES


class PassingVectors:
    """The ids of one space's vectors that an image in some scope shows. Thread-safe."""

    def __init__(
        self,
        database: Database,
        table: VectorTable,
        space_id: int,
        max_bytes: int = MEMORY_BYTES,
    ) -> None:
        """Begin with nothing remembered.

        Args:
            database: where the vectors are.
            table: of the vectors.
            space_id: whose vectors.
            max_bytes: of remembered ids; of those that were used least lately the memory lets go.
        """
        self._database = database
        self._table = table
        self._space_id = space_id
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._known: OrderedDict[_Asked, _Known] = OrderedDict()
        self._bytes = 0

    def ids(self, scope: Scope) -> Ids:
        """Return (n,) int64, ascending: what passes now, remembered or asked of the database."""
        scope = scope.with_none_left_out()
        with self._database.reading() as session:
            return self._ids(session, scope)

    def _ids(self, session: Session, scope: Scope) -> Ids:
        # Read first: what is found afterwards is at least as new as this number.
        change_seq = changes.current_seq(session)
        known = self._remembered(scope)
        if known is None or known.change_seq > change_seq:
            # A higher number is of another database: this one was restored from a backup.
            ids = self._asked(session, scope)
        elif known.change_seq == change_seq:
            return known.ids
        else:
            ids = self._updated(session, scope, known)
        self._remember(scope, _Known(ids, change_seq))
        return ids

    def _asked(self, session: Session, scope: Scope) -> Ids:
        return _read(session, passing_vectors(self._table, self._space_id, scope))

    def _updated(self, session: Session, scope: Scope, known: _Known) -> Ids:
        """Return the ids by what has changed since; by everything where that is not told by numbers."""
        if not is_followed(scope):
            return self._asked(session, scope)
        vectors = self._table.entity
        renumbered = select(vectors.id).where(
            vectors.space_id == self._space_id, vectors.change_seq > known.change_seq
        )
        changed = _read(session, renumbered.limit(MOST_CHANGED + 1))
        if changed.size > MOST_CHANGED:
            return self._asked(session, scope)
        if not changed.size:
            return known.ids
        passing = passing_vectors(self._table, self._space_id, scope, known.change_seq)
        kept = np.setdiff1d(known.ids, changed, assume_unique=True)
        return np.union1d(kept, _read(session, passing))

    def _remembered(self, scope: Scope) -> _Known | None:
        asked = _asked_now(scope)
        with self._lock:
            known = self._known.get(asked)
            if known is not None:
                self._known.move_to_end(asked)
            return known

    def _remember(self, scope: Scope, known: _Known) -> None:
        known.ids.flags.writeable = False
        asked = _asked_now(scope)
        with self._lock:
            before = self._known.get(asked)
            if before is not None and before.change_seq > known.change_seq:
                return
            self._known[asked] = known
            self._known.move_to_end(asked)
            self._bytes += known.nbytes - (0 if before is None else before.nbytes)
            while self._bytes > self._max_bytes:
                self._bytes -= self._known.popitem(last=False)[1].nbytes


def _asked_now(scope: Scope) -> _Asked:
    return scope, viewed_space_id(SpaceKind.IMAGE)


def _read(session: Session, query: Select[int]) -> Ids:
    # A copy: what is read is one of several columns' memory.
    return packed.numbers(session, query)[:, 0].copy()
