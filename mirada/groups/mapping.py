"""Lay the library out in two dimensions, for each who looks at it, from its vectors. Knows no tables.

Public pictures are laid out by public pictures alone. That is the map that everybody is shown. Whoever has
private pictures has a view of their own. Where enough is public, their pictures lie there among the public
ones that are nearest. Else theirs and the public ones are laid out together, for them alone. So what somebody
is shown follows from what they may see: nobody can tell by it what others keep for themselves.

A view is made whole, or goes on from its former state: then what has a place keeps it, and new pictures are
placed between their neighbours. A view in which nothing is new stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mirada.groups.grouping import SEED, GroupPage, Uploaded
from mirada.kernel.clustering import Ids, nearest_centres
from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.projecting import (
    SIDE,
    Basis,
    aligned,
    basis_of,
    in_box,
    placed_by_neighbours,
)
from mirada.kernel.similarity import sampling_order
from mirada.ports import Grouping, Projection

FITTED_ROWS = 20_000
"""Most pictures that are laid out by all their neighbours; the others are placed between these."""
LEAST_PUBLIC, PUBLIC_SHARE = 50, 0.1
"""From so many public pictures on, and from that share of what somebody sees, theirs lie among those."""
MOST_GROUPS = 24
"""More groups cannot be told apart by their colours, nor read in a list."""
Check = Callable[[float], None]
"""Is told which part of a view is done, and may raise."""


@dataclass(frozen=True, slots=True)
class FormerMap:
    """A view before this one.

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


@dataclass(frozen=True, slots=True)
class View:
    """The pictures that a run of the map is of.

    Attributes:
        owner_id: who alone is shown it; None for everybody.
        rows: (n,) rows of the library, ascending, n >= 1.
        is_among: their places are among those of public pictures, which are no rows of it.
    """

    owner_id: int | None
    rows: Ids
    is_among: bool = False


def views(library: Uploaded) -> Iterator[View]:
    """Yield what everybody is shown, if anything is public, then what each owner of private pictures is."""
    public = np.flatnonzero(library.is_public)
    if len(public):
        yield View(None, public)
    is_private = ~library.is_public[library.rows]
    rows, owners = library.rows[is_private], library.owners[is_private]
    order = np.lexsort((rows, owners))
    for start, end in _stretches(owners[order]):
        own = np.unique(rows[order[start:end]])
        is_enough = len(public) >= max(LEAST_PUBLIC, PUBLIC_SHARE * (len(public) + len(own)))
        shown = own if is_enough else np.union1d(own, public)
        yield View(int(owners[order[start]]), shown, is_among=is_enough)


def _stretches(values: Ids) -> Iterator[tuple[int, int]]:
    """Yield the first and the last place but one of each stretch of equal values."""
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1)).tolist()
    yield from pairwise([*starts, len(values)])


def laid_out(
    library: Uploaded,
    view: View,
    tools: Tools,
    former: FormerMap,
    check: Check,
    *,
    is_whole: bool,
) -> GroupPage:
    """Return every picture of a view that stands alone, with its place and its group.

    Args:
        library: of finite vectors.
        view: which pictures.
        tools: for places and groups.
        former: the view before; without rows for a first one.
        check: is called while it works.
        is_whole: every place is computed; else what has one keeps it, if anything has.
    """
    ids, vectors = library.ids[view.rows], library.vectors[view.rows]
    known, places, groups = former.of(ids)
    is_whole = is_whole or not bool(known.any())
    base = _first(ids, np.arange(len(ids)) if is_whole else np.flatnonzero(known))
    rows = basis_of(vectors[base]).of(vectors)
    if is_whole:
        places[base] = _placed(rows, base, tools.projection, (known, places), check)
        centres = tools.grouping.centres(vectors[base], _group_count(len(ids)), SEED)
        rest = np.setdiff1d(np.arange(len(ids)), base)
    else:
        centres = means(vectors[known], groups[known])[1]
        rest = np.flatnonzero(~known)
    check(1.0)
    if len(rest):
        places[rest] = placed_by_neighbours(rows[rest], rows[base], places[base])
    own, similarities = nearest_centres(vectors, centres)
    return GroupPage(ids, own, similarities, _whole(places))


class Among:
    """Public pictures with their places, between which those of others are placed."""

    def __init__(self, library: Uploaded, public: View, places: Ids | Matrix, groups: Ids) -> None:
        """Begin with the rows of the public view.

        Args:
            library: of finite vectors.
            public: the view.
            places: (n, 2) theirs, as they are shown.
            groups: (n,) theirs, any numbers.
        """
        self._library = library
        ids, vectors = library.ids[public.rows], library.vectors[public.rows]
        self._base = _first(ids, np.arange(len(ids)))
        self._basis: Basis = basis_of(vectors[self._base])
        self._rows = self._basis.of(vectors[self._base])
        self._places = places[self._base].astype(np.float32)
        self._numbers, self._centres = means(vectors, groups)

    def placed(self, view: View) -> GroupPage:
        """Return the pictures of a view with their places and the groups of public ones.

        They follow from these pictures and the public ones, and from nothing else.
        """
        ids, vectors = self._library.ids[view.rows], self._library.vectors[view.rows]
        places = placed_by_neighbours(self._basis.of(vectors), self._rows, self._places)
        own, similarities = nearest_centres(vectors, self._centres)
        return GroupPage(ids, self._numbers[own], similarities, _whole(places))


def _whole(places: Matrix) -> Ids:
    return np.clip(places.round(), 0, SIDE).astype(np.int64)


def _placed(
    rows: Matrix,
    base: Ids,
    projection: Projection,
    former: tuple[npt.NDArray[np.bool_], Matrix],
    check: Check,
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


def means(vectors: Matrix, groups: Ids) -> tuple[Ids, Matrix]:
    """Return the numbers of groups, ascending, and the unit mean of each.

    Of a group whose vectors cancel out it is the first vector.
    """
    numbers, first, own = np.unique(groups, return_index=True, return_inverse=True)
    sums = np.stack([vectors[own == group].sum(axis=0) for group in range(len(numbers))])
    empty = np.linalg.norm(sums, axis=1) < 1e-3
    sums[empty] = vectors[first[empty]]
    return numbers, l2_normalise(sums)
