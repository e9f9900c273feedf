"""Attempts at the rows of a snapshot, one after the other, until one can vouch for what it found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import faiss
import numpy as np
import numpy.typing as npt

from mirada.adapters.vector_index.faiss.block import Rows, VectorBlock
from mirada.adapters.vector_index.faiss.planning import SCAN_ALL_SHARE, Step
from mirada.adapters.vector_index.faiss.quantised import chance_missed
from mirada.adapters.vector_index.faiss.selection import PermittedRows
from mirada.adapters.vector_index.faiss.snapshot import OpenSnapshot
from mirada.kernel.embeddings import Vector
from mirada.kernel.similarity import SearchWay

ROUNDING = 2e-6
"""How far apart two float32 sums of the same 1,024 products may be; ties are settled in float64."""
NO_ROWS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Found:
    """Rows among which the k best permitted ones are, and how they were found.

    Attributes:
        rows: in no order.
        way: the attempt that succeeded.
        ef_search, depth: its width.
        compared: vectors that were compared exactly, in all attempts.
    """

    rows: Rows
    way: SearchWay
    compared: int = 0
    ef_search: int | None = None
    depth: int | None = None

    @classmethod
    def nothing(cls) -> Self:
        """Return what is found where nothing is permitted."""
        return cls(NO_ROWS, SearchWay.EXACT)


def tried(
    base: OpenSnapshot, query: Vector, k: int, permitted: PermittedRows, steps: Sequence[Step]
) -> Found:
    """Return the k best permitted rows, and those that may equal the last of them.

    Args:
        base: the snapshot.
        query: (d,).
        k: matches wanted, >= 1.
        permitted: what may be found, at least one row.
        steps: what to try, an exact scan last.
    """
    wanted = min(k, permitted.count)
    compared = 0
    for step in steps:
        if step.way is SearchWay.QUANTISED:
            rows, cost = _scanned(base, query, wanted, permitted, step)
        elif step.way is SearchWay.IVF:
            rows, cost = _looked_up(base, query, wanted, permitted, step)
        elif step.way is not SearchWay.EXACT:
            rows, cost = _walked(base, query, wanted, permitted, step)
        else:
            rows, cost = finalists(base.vectors, query, k, permitted.rows), permitted.count
        compared += cost
        if rows is not None:
            is_scan = step.way in (SearchWay.QUANTISED, SearchWay.IVF)
            return Found(
                rows,
                step.way,
                compared,
                ef_search=None if is_scan else step.width or None,
                depth=step.width if is_scan else None,
            )
    raise AssertionError("the last step is an exact scan")


def _walked(
    base: OpenSnapshot, query: Vector, wanted: int, permitted: PermittedRows, step: Step
) -> tuple[Rows | None, int]:
    # Parameters travel with the call: efSearch set on the shared index would be everybody's.
    parameters = faiss.SearchParametersHNSW(efSearch=step.width, bounded_queue=True)
    scores, found = base.graph.search(query.reshape(1, -1), step.width, params=parameters)
    nearest = found[0][found[0] >= 0]
    if permitted.is_everything:
        positions = np.arange(nearest.size)
    else:
        positions = np.flatnonzero(permitted.mask[nearest])
    if positions.size < wanted or not step.reaches(int(positions[wanted - 1]) + 1):
        return None, step.width
    least = scores[0, positions[wanted - 1]] - ROUNDING
    if nearest.size == step.width and scores[0, nearest.size - 1] >= least:
        # More rows are as near as the last of these, and which of them come first is told by id.
        return None, step.width
    close = positions[scores[0, positions] >= least]
    rows: Rows = nearest[close]
    return rows, step.width


def _scanned(
    base: OpenSnapshot, query: Vector, wanted: int, permitted: PermittedRows, step: Step
) -> tuple[Rows | None, int]:
    assert base.quantised is not None
    selector = permitted.selector if step.is_filtered else None
    found = base.quantised.candidates(query, step.width, selector)
    rows = found.rows
    if not permitted.is_everything:
        # Also after a scan that was told: no row reaches a caller because FAISS alone said so.
        rows = rows[permitted.mask[rows]]
    if rows.size < wanted:
        return None, int(rows.size)
    scores = base.vectors.inner_products(query, rows)
    best = np.partition(scores, scores.size - wanted)[scores.size - wanted :]
    kth_best = float(best[0])
    if not found.is_everything:
        missed = chance_missed(best, float(found.estimates[-1]), step.spread)
        if missed > step.tolerance or scores[-1] >= kth_best - ROUNDING:
            return None, int(rows.size)
    close: Rows = rows[scores >= kth_best - ROUNDING]
    return close, int(rows.size)


def _looked_up(
    base: OpenSnapshot, query: Vector, wanted: int, permitted: PermittedRows, step: Step
) -> tuple[Rows | None, int]:
    assert base.quantised is not None
    lists = math.ceil(step.lists * base.quantised.lists)
    found = base.quantised.candidates(query, step.width, lists=lists)
    scores = base.vectors.inner_products(query, found.rows)
    cost = int(found.rows.size)
    may_be_shown = np.ones(cost, bool) if permitted.is_everything else permitted.mask[found.rows]
    shown = scores[may_be_shown]
    if shown.size < wanted:
        return None, cost
    last = _kth(shown, wanted)
    # Of rows as near as the last one, those with the lowest ids come first: none may be left out.
    has_more = cost == step.width and scores[-1] >= last - ROUNDING
    if has_more or not step.reaches(int(np.count_nonzero(scores > last)) + 1):
        return None, cost
    close: Rows = found.rows[may_be_shown & (scores >= last - ROUNDING)]
    return close, cost


def finalists(vectors: VectorBlock, query: Vector, k: int, rows: Rows) -> Rows:
    """Scan some rows and return those that may be among the k best, in no order.

    Args:
        vectors: the block.
        query: (d,).
        k: matches wanted.
        rows: their numbers, ascending.
    """
    if rows.size <= k:
        return rows
    if rows.size > SCAN_ALL_SHARE * len(vectors):
        scores = vectors.inner_products(query)
        scores = scores if rows.size == len(vectors) else scores[rows]
    else:
        scores = vectors.inner_products(query, rows)
    close: Rows = rows[scores >= _kth(scores, k) - ROUNDING]
    return close


def _kth(scores: npt.NDArray[np.float32], k: int) -> float:
    """Return the k-th highest."""
    return float(np.partition(scores, scores.size - k)[scores.size - k])
