"""Lay the library out in two dimensions, with its groups, from its vectors. Knows no tables.

A map is made whole, or goes on from the former one: then what has a place keeps it, and new pictures are
placed between their neighbours.

Where enough is public, places and groups of public pictures come from public pictures alone, and the place of
a private one from those and its own vector. So nobody can tell by what they see, nor by what they add, what
others keep for themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.groups.grouping import PAGE_ROWS, SEED, GroupPage, everything
from mirada.kernel.clustering import Ids, nearest_centres
from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.projecting import (
    SIDE,
    aligned,
    components,
    in_box,
    placed_by_neighbours,
)
from mirada.kernel.similarity import sampling_order
from mirada.ports import Grouping, Projection, RebuildProgress, VectorSource

FITTED_ROWS = 20_000
"""Most pictures that are laid out by all their neighbours; the others are placed between these."""
LEAST_PUBLIC, PUBLIC_SHARE = 50, 0.1
"""From so many public pictures on, and from that share of the library, they alone decide where things are."""
MOST_GROUPS = 24
"""More groups cannot be told apart by their colours, nor read in a list."""


@dataclass(frozen=True, slots=True)
class FormerMap:
    """The map before this one.

    Attributes:
        embedding_ids: (m,) int64, ascending.
        places: (m, 2) float32, 0 to SIDE.
        groups: (m,) int64, any numbers.
    """

    embedding_ids: Ids
    places: Matrix
    groups: Ids

    def of(self, ids: Ids) -> tuple[npt.NDArray[np.bool_], Matrix, Ids]:
        """Return which of these ids had a place, and the places and groups; zeros for the others."""
        places, groups = np.zeros((len(ids), 2), np.float32), np.zeros(len(ids), np.int64)
        if not len(self.embedding_ids):
            return np.zeros(len(ids), np.bool_), places, groups
        at = np.searchsorted(self.embedding_ids, ids).clip(max=len(self.embedding_ids) - 1)
        known = self.embedding_ids[at] == ids
        places[known], groups[known] = self.places[at[known]], self.groups[at[known]]
        return known, places, groups


NO_MAP = FormerMap(np.empty(0, np.int64), np.empty((0, 2), np.float32), np.empty(0, np.int64))
"""Before the first map."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The algorithms that a map is made with."""

    grouping: Grouping
    projection: Projection


def map_pages(
    source: VectorSource,
    tools: Tools,
    former: FormerMap,
    progress: RebuildProgress,
    *,
    is_whole: bool,
) -> Iterator[GroupPage]:
    """Yield every uploaded picture with its place and its group, PAGE_ROWS at a time.

    Args:
        source: the space's rows; all vectors are held in memory, 4 x d bytes each.
        tools: for places and groups.
        former: the map before; without rows for a first one.
        progress: called with steps done of three for each row.
        is_whole: every place is computed; else what has one keeps it, if anything has.
    """
    ids, vectors, _, is_public = everything(source, progress)
    total = len(ids)
    if not total:
        progress(0, 0)
        return
    # A damaged vector would spoil every place.
    vectors[~np.isfinite(vectors.sum(axis=1))] = 0.0
    known, places, groups = former.of(ids)
    shared = _shared(is_public)
    kept = known & shared
    is_whole = is_whole or not bool(kept.any())
    base = _first(ids, np.flatnonzero(shared if is_whole else kept))
    rows = components(vectors, base)

    def check(part: float) -> None:
        progress(total + int(part * total), 3 * total)

    if is_whole:
        places[base] = _laid_out(rows, base, tools.projection, (known, places), check)
        centres = tools.grouping.centres(vectors[base], _group_count(int(shared.sum())), SEED)
        rest = np.setdiff1d(np.arange(total), base)
    else:
        centres = _means(vectors[kept], groups[kept])
        rest = np.flatnonzero(~kept)
    check(1.0)
    if len(rest):
        places[rest] = placed_by_neighbours(rows[rest], rows[base], places[base])
    whole = np.clip(places.round(), 0, SIDE).astype(np.int64)
    own, similarities = nearest_centres(vectors, centres)
    for page in GroupPage(ids, own, similarities, whole).parts(PAGE_ROWS):
        yield page
        progress(2 * total + int(np.searchsorted(ids, page.embedding_ids[-1])) + 1, 3 * total)


def _shared(is_public: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which pictures decide where things are: the public ones, or all where few are public."""
    count = int(is_public.sum())
    is_enough = count >= max(LEAST_PUBLIC, PUBLIC_SHARE * len(is_public))
    return is_public if is_enough else np.ones(len(is_public), np.bool_)


def _laid_out(
    rows: Matrix,
    base: Ids,
    projection: Projection,
    former: tuple[npt.NDArray[np.bool_], Matrix],
    check: Callable[[float], None],
) -> Matrix:
    """Return (m, 2) new places of the rows in `base`, where they were before as nearly as can be."""
    known, places = former
    had, start = known[base], None
    if had.any():
        start = places[base]
        new = base[~had]
        if len(new):
            placed = placed_by_neighbours(rows[new], rows[base[had]], start[had])
            start[~had] = placed
    found = projection.project(rows[base], start, SEED, check)
    return in_box(found if start is None else aligned(found, start, had))


def _first(ids: Ids, rows: Ids) -> Ids:
    """Return at most FITTED_ROWS of the rows, ascending: the same ones of the same library."""
    if len(rows) <= FITTED_ROWS:
        return rows
    return np.sort(rows[np.argsort(sampling_order(ids[rows]), kind="stable")[:FITTED_ROWS]])


def _group_count(row_count: int) -> int:
    return max(1, min(MOST_GROUPS, math.isqrt(row_count // 2)))


def _means(vectors: Matrix, groups: Ids) -> Matrix:
    """Return (k, d) the unit mean of each group; of one whose vectors cancel out, its first vector."""
    numbers, first, own = np.unique(groups, return_index=True, return_inverse=True)
    sums = np.zeros((len(numbers), vectors.shape[1]), np.float32)
    np.add.at(sums, own, vectors)
    empty = np.linalg.norm(sums, axis=1) < 1e-3
    sums[empty] = vectors[first[empty]]
    return l2_normalise(sums)
