"""Places in two dimensions: principal components, neighbours, alignment with an earlier map. No I/O."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.filters import MAP_SIDE

COMPONENTS = 50
"""Principal components that a map is made from; what is beyond them is mostly noise."""
NEIGHBOURS = 5
"""Neighbours between which a new picture is placed."""
SIDE = MAP_SIDE
MARGIN = 1_000
"""Room left at each side, so that no picture is cut off."""
GOLDEN_ANGLE = 2.399963
BLOCK = 8_000_000
"""Cosines held at once while neighbours are looked for: 32 MB."""


class Basis(NamedTuple):
    """The directions in which some rows differ most.

    Attributes:
        middle: (d,) float32 their mean.
        directions: (d, p) float32, the greatest first.
    """

    middle: Vector
    directions: Matrix

    def of(self, rows: Matrix) -> Matrix:
        """Return (n, p) float32 principal components of (n, d) rows."""
        result: Matrix = ((rows - self.middle) @ self.directions).astype(np.float32)
        return result


def basis_of(rows: Matrix, count: int = COMPONENTS) -> Basis:
    """Return the basis of (m, d) rows, m >= 1, with at most `count` directions."""
    middle = rows.mean(axis=0)
    around = rows - middle
    _, directions = np.linalg.eigh((around.T @ around).astype(np.float64))
    kept = directions[:, ::-1][:, :count]
    # The sign of a direction is chance; with the largest part positive it is the same every time.
    kept = kept * np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])
    return Basis(middle, kept.astype(np.float32))


def spread_components(rows: Matrix) -> Matrix:
    """Return (n, 2) the first two components, spread so that a crowd in the middle opens up.

    Each is the mean of where the row stands between the least and the greatest, and of its rank.
    """
    flat = np.zeros((len(rows), 2), np.float32)
    for axis in range(min(2, rows.shape[1])):
        column = rows[:, axis]
        extent = float(np.ptp(column))
        if extent > 0:
            ranks = column.argsort(kind="stable").argsort(kind="stable") / max(1, len(rows) - 1)
            flat[:, axis] = ((column - column.min()) / extent + ranks) / 2
    return flat


def placed_by_neighbours(rows: Matrix, base: Matrix, places: Matrix) -> Matrix:
    """Return (n, 2) float32 places among those that have one: the mean of the nearest NEIGHBOURS.

    Args:
        rows: (n, p) to be placed.
        base: (m, p) rows that have a place, m >= 1.
        places: (m, 2) theirs, in 0 to SIDE.
    """
    count = min(NEIGHBOURS, len(base))
    found = np.empty((len(rows), 2), np.float32)
    lengths = np.einsum("mp,mp->m", base, base)
    step = max(1, BLOCK // len(base))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        distances = lengths - 2.0 * (part @ base.T)
        nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
        apart = np.take_along_axis(distances, nearest, 1)
        apart = apart + np.einsum("np,np->n", part, part)[:, None]
        weights = 1.0 / np.maximum(apart, 1e-6)
        weights /= weights.sum(axis=1, keepdims=True)
        found[start : start + step] = np.einsum("nk,nkc->nc", weights, places[nearest])
    # Aside, by the row alone: a direction that came from an id would tell how old the content is.
    angles = np.abs(rows).sum(axis=1, dtype=np.float64) * 1e4
    radius = SIDE * 0.004
    moved = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius
    return np.clip(found + moved, 0, SIDE).astype(np.float32)


def apart(places: Matrix) -> Matrix:
    """Return (n, 2) places of which no two are the same: all but the first of equal ones are moved a little.

    Equal pictures would hide one another at every zoom.
    """
    whole = places.round().astype(np.int64)
    spots = whole[:, 0] * (SIDE + 1) + whole[:, 1]
    _, spot, counts = np.unique(spots, return_inverse=True, return_counts=True)
    order = np.argsort(spot, kind="stable")
    firsts = np.repeat(np.cumsum(counts) - counts, counts)
    number = np.empty(len(places), np.float64)
    number[order] = np.arange(len(places)) - firsts
    angles, radius = number * GOLDEN_ANGLE, SIDE * 0.004 * np.sqrt(number)
    moved = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None]
    return np.clip(places + moved, 0, SIDE).astype(np.float32)


def aligned(places: Matrix, earlier: Matrix, known: npt.NDArray[np.bool_]) -> Matrix:
    """Return places turned and mirrored to lie as near as possible to where they were.

    Args:
        places: (n, 2).
        earlier: (n, 2) the former ones.
        known: (n,) which rows had one.

    Source: Schoenemann, "A generalized solution of the orthogonal Procrustes problem", 1966.
    """
    if known.sum() < 2:
        return places
    now, then = places[known], earlier[known]
    middle = now.mean(axis=0)
    left, _, right = np.linalg.svd((now - middle).T @ (then - then.mean(axis=0)))
    turned: Matrix = ((places - middle) @ (left @ right)).astype(np.float32)
    return turned


def in_box(places: Matrix) -> Matrix:
    """Return places scaled alike in both directions to MARGIN from the sides of 0 to SIDE."""
    least, most = places.min(axis=0), places.max(axis=0)
    reach = float((most - least).max())
    scale = (SIDE - 2 * MARGIN) / reach if reach > 0 else 0.0
    scaled: Matrix = ((places - (least + most) / 2) * scale + SIDE / 2).astype(np.float32)
    return scaled
