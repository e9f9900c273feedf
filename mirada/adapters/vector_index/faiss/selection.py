"""Rows of a snapshot that a caller may get, worked out once for each scope and remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import faiss
import numpy as np

from mirada.adapters.vector_index.access import Ids, Mask
from mirada.adapters.vector_index.faiss.block import Rows, VectorBlock
from mirada.adapters.vector_index.faiss.snapshot import OpenSnapshot
from mirada.kernel.audience import Audience
from mirada.kernel.similarity import BACKGROUND_ROWS, sampling_order

REMEMBERED_SCOPES = 16
"""Callers whose rows are remembered: at a million rows 3 MB each."""


class PermittedRows:
    """The permitted rows of one snapshot. Immutable; what is asked for is worked out once."""

    def __init__(self, base: OpenSnapshot, mask: Mask) -> None:
        """Count them."""
        self._base = base
        self.mask = mask
        self.count = int(np.count_nonzero(mask))

    @property
    def is_everything(self) -> bool:
        """Whether every row is permitted."""
        return self.count == self.mask.size

    @cached_property
    def rows(self) -> Rows:
        """Their numbers, ascending."""
        return np.flatnonzero(self.mask)

    @cached_property
    def selector(self) -> Any:
        """A FAISS selector of them, with the bits it refers to; None where every row is permitted."""
        if self.is_everything:
            return None
        return faiss.IDSelectorBitmap(np.packbits(self.mask, bitorder="little"))

    @cached_property
    def sample(self) -> Sample:
        """The permitted rows that come first in the sampling order."""
        base = self._base
        rows = base.sample[self.mask[base.sample]]
        if rows.size < min(BACKGROUND_ROWS, self.count):
            rows = self.rows
        order = sampling_order(base.ids[rows])
        first = np.argsort(order)[:BACKGROUND_ROWS]
        return Sample(order[first], VectorBlock.of_array(base.vectors.take(rows[first])))


@dataclass(frozen=True, slots=True)
class Sample:
    """At most BACKGROUND_ROWS vectors, copied together, by ascending sampling order (s,)."""

    order: Any
    vectors: VectorBlock


class PermittedByScope:
    """The rows of one snapshot that each caller may get, while none of its rows is replaced. Thread-safe."""

    def __init__(self, base: OpenSnapshot, visible: Mask) -> None:
        """Remember nothing yet.

        Args:
            base: the snapshot.
            visible: (rows of base,) bool, False where a change replaced or buried the row.
        """
        self.base = base
        self.visible = visible
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Any, ...], tuple[Ids | None, PermittedRows]] = OrderedDict()

    def of(self, audience: Audience, among: Ids | None) -> PermittedRows:
        """Return the rows that an audience may get.

        Args:
            audience: who asks; images that it leaves out count, since rows are no images.
            among: embedding ids, ascending, that other filters let through; None for all. It is told
                by identity: a source that remembers what passes a filter returns the same array.
        """
        key = (audience.viewer_id, audience.owner_ids, audience.with_remembered, id(among))
        with self._lock:
            kept, permitted = self._known.get(key, (None, None))
            if permitted is not None and kept is among:
                self._known.move_to_end(key)
                return permitted
        mask = self.base.access.mask(audience, self.base.ids, among)
        mask &= self.visible
        permitted = PermittedRows(self.base, mask)
        with self._lock:
            self._known[key] = (among, permitted)
            while len(self._known) > REMEMBERED_SCOPES:
                self._known.popitem(last=False)
        return permitted
