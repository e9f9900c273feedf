"""Clustering of unit vectors: the number of groups, first centres, and connected components. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mirada.kernel.embeddings import Matrix
from mirada.kernel.similarity import Floats

Ids = npt.NDArray[np.int64]
"""(n,) int64; row numbers or ids."""

MAX_K = 500
"""Largest k that may be asked for. Its training rows take 100 MB at 512 dimensions."""
MOST_CHOSEN = 128
"""Largest k that is chosen without a request for it."""
K_LADDER = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
"""Values of k that are tried first, each about 1.4 times the one before."""
MOST_BETWEEN = 6
"""Further values of k that are tried on either side of the best of K_LADDER."""
SEED_TRIALS = 32
"""Candidates per seed. With 60 planted groups (noise 0.3 of the radius, 128 dimensions) every group got
a seed of its own in five of five draws with 32 candidates, in four with 16, in none with the usual
2 + ln k."""
SEED_ROWS = 10_000
"""Most rows from which seeds are drawn; chosen here, it bounds the time that seeding takes."""


def coarse_ks(row_count: int) -> tuple[int, ...]:
    """Return the numbers of groups to try first, ascending, up to sqrt(row_count / 2).

    The silhouette finds groups that lie apart, whatever their number. Where groups overlap it only
    rises with k: on the demo's 300 stickers from 0.25 for 2 to 0.55 for 64. Then the limit decides:
    12 groups of 300 pictures, 50 of 5,000.

    Source: Mardia, Kent and Bibby, "Multivariate Analysis" (1979), chapter 13, for the limit as a
    rule of thumb.
    """
    most = min(MOST_CHOSEN, max(1, math.isqrt(row_count // 2)))
    return (*(k for k in K_LADDER if k < most), most)


def fine_ks(silhouettes: Mapping[int, float]) -> tuple[int, ...]:
    """Return the numbers of groups to try next, ascending: untried ones around the best so far.

    Args:
        silhouettes: by k, of the numbers tried so far.
    """
    tried = sorted(silhouettes)
    best = tried.index(best_k(silhouettes))
    around: set[int] = set()
    for low, high in ((best - 1, best), (best, best + 1)):
        if low >= 0 and high < len(tried):
            gap = np.linspace(tried[low], tried[high], MOST_BETWEEN + 2).round().astype(int)
            around |= set(gap.tolist())
    return tuple(sorted(around - set(tried)))


def best_k(silhouettes: Mapping[int, float]) -> int:
    """Return the k with the greatest silhouette; the smallest k of equal ones."""
    return min(silhouettes, key=lambda k: (-silhouettes[k], k))


def silhouette(vectors: Matrix, centres: Matrix) -> float:
    """Return the simplified silhouette of rows and centres in [0, 1]; higher is better separated.

    It is the mean of (b - a) / b, where a and b are 1 - cosine with the nearest and the second
    nearest centre; 0 for a single centre. Unlike the full silhouette it compares no two rows.

    Source: Hruschka, de Castro and Campello, "Evolutionary algorithms for clustering gene-expression
    data", ICDM 2004: the simplified silhouette.
    """
    if len(centres) < 2 or not len(vectors):
        return 0.0
    distances = 1.0 - np.clip(vectors @ centres.T, -1.0, 1.0)
    near, next_near = np.partition(distances, 1, axis=1)[:, :2].T
    shares = np.divide(
        next_near - near, next_near, out=np.zeros_like(near), where=next_near > 1e-12
    )
    return float(shares.mean())


def nearest_centres(vectors: Matrix, centres: Matrix) -> tuple[Ids, Floats]:
    """Return the number of each row's nearest centre, (n,), and the cosine with it, (n,) in [-1, 1].

    Of equally near centres the first counts.
    """
    similarities = vectors @ centres.T
    nearest = similarities.argmax(axis=1).astype(np.int64)
    own = similarities[np.arange(len(vectors)), nearest].astype(np.float64)
    return nearest, np.clip(own, -1.0, 1.0)


def spread_seeds(vectors: Matrix, k: int, seed: int) -> Matrix:
    """Return (m, d) first centres, m <= k: rows that lie far apart; fewer than k where rows are equal.

    Each is the best of SEED_TRIALS draws. The probability of a draw is proportional to the squared
    distance from the centres chosen before.

    Source: Arthur and Vassilvitskii, "k-means++", SODA 2007, with the greedy choice of its section 7.
    """
    rng = np.random.default_rng(seed)
    if len(vectors) > SEED_ROWS:
        vectors = vectors[np.sort(rng.choice(len(vectors), SEED_ROWS, replace=False))]
    chosen = [int(rng.integers(len(vectors)))]
    # 1 - cosine is half the squared distance of unit vectors.
    far = np.maximum(0.0, 1.0 - vectors @ vectors[chosen[0]])
    while len(chosen) < k:
        reach = np.cumsum(far, dtype=np.float64)
        # Rounding leaves about 1e-7 per row between equal vectors; that is no distance.
        if reach[-1] <= 1e-6 * len(vectors):
            break
        drawn = np.searchsorted(reach, rng.random(SEED_TRIALS) * reach[-1], side="right")
        drawn = np.minimum(drawn, len(vectors) - 1)
        left = np.minimum(far[:, None], np.maximum(0.0, 1.0 - vectors @ vectors[drawn].T))
        best = int(left.sum(axis=0, dtype=np.float64).argmin())
        chosen.append(int(drawn[best]))
        far = left[:, best]
    return np.ascontiguousarray(vectors[chosen])


class Components:
    """Connected components of n things, joined pair by pair. Memory is n numbers, however many pairs."""

    def __init__(self, count: int) -> None:
        """Begin with `count` things, each a component of its own."""
        # A parent never has a higher number than its child, so there are no circles.
        self._parents: Ids = np.arange(count, dtype=np.int64)

    def join(self, some: Ids, others: Ids) -> None:
        """Connect some[i] with others[i] for every i; both (m,) int64."""
        while True:
            some, others = self._roots(some), self._roots(others)
            apart = some != others
            if not apart.any():
                return
            some, others = some[apart], others[apart]
            # Of several lower roots of one thing the lowest counts; the others follow in the next round.
            np.minimum.at(self._parents, np.maximum(some, others), np.minimum(some, others))

    def labels(self) -> Ids:
        """Return (n,) the component of each thing; components are numbered from 0 by their lowest member."""
        _, labels = np.unique(self._roots(np.arange(self._parents.size)), return_inverse=True)
        return labels.astype(np.int64)

    def _roots(self, things: Ids) -> Ids:
        parents = self._parents
        roots = parents[things]
        while not np.array_equal(above := parents[roots], roots):
            # Path halving: it removes every other step of a long chain on the way.
            parents[roots] = parents[above]
            roots = parents[roots]
        parents[things] = roots
        return roots
