"""Queries of several parts: more like this, less like that, as one vector and what is taken from scores.

Standard library and numpy only. Measured by `python -m benchmarks.composed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.kernel.embeddings import Matrix, Vector, l2_normalise
from mirada.kernel.errors import InvalidInput
from mirada.kernel.similarity import LEAST_SPREAD, Floats, QueryForm

STANDS_OUT = 2.0
"""Spreads above the centre from which something is like what is not wanted. One of forty unrelated things
lies there by chance."""
TAKEN = 4.0
"""Spreads that are taken for each spread beyond that, by a weight of -1."""
PRIOR_ROWS, PRIOR_SPREAD = 8, 0.08
"""So many scores of so wide a spread are counted beside the sample: three pictures tell of no spread.
Among 512 they weigh 1.5 %."""
LEAST_LENGTH = 1e-3
"""Of a sum of unit vectors with weights that add up to 1; a shorter one is rounding."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The scores of one part with unrelated things: their centre, and their standard deviation > 0."""

    centre: float
    width: float


@dataclass(frozen=True, slots=True)
class WeighedPart:
    """One part of a query of several.

    Attributes:
        place: in the query, from 0.
        vector: (d,) float32, unit norm.
        weight: how much it counts; below 0 for less like this.
        spread: of its cosines in the collection.
        form: of the part alone; None where nobody says what made its vector.
    """

    place: int
    vector: Vector
    weight: float
    spread: Spread
    form: QueryForm | None = None

    def standing(self, vectors: Matrix) -> Floats:
        """Return (n,) standard scores of (n, d) unit rows: spreads above the centre."""
        cosines = vectors.astype(np.float64) @ self.vector.astype(np.float64)
        return (cosines - self.spread.centre) / self.spread.width


def spread_of(background: npt.ArrayLike) -> Spread:
    """Return the spread of (n,) cosines of one vector with a sample of the collection; n may be 0."""
    # Sorted: a sum's last digit would tell in which order a database returns the rows.
    scores = np.sort(np.asarray(background, dtype=np.float64).ravel())
    centre = float(np.median(scores)) if scores.size else 0.0
    squares = float(((scores - scores.mean()) ** 2).sum()) if scores.size else 0.0
    width = ((squares + PRIOR_ROWS * PRIOR_SPREAD**2) / (scores.size + PRIOR_ROWS)) ** 0.5
    return Spread(centre, max(width, LEAST_SPREAD))


def blended(parts: Sequence[WeighedPart]) -> Vector:
    """Return the (d,) unit vector that ranks as the weighted sum of the parts' standard scores does.

    A picture's cosines with pictures vary more than a text's do, since CLIP-like encoders keep the
    two apart. In a plain mean the picture would decide alone. A standard score is a cosine less its
    mean, divided by its deviation. The mean moves every picture alike, so the order is that of
    the cosine with the sum of vectors, each divided by its deviation: one search in one index.

    Args:
        parts: at least one, with weights > 0.

    Raises:
        InvalidInput: the parts cancel each other out.

    Source: standard scores as one of the normalisations of Lee, "Analyses of multiple evidence
    combination", SIGIR 1997; Liang et al., "Mind the gap", NeurIPS 2022, on texts and pictures.
    """
    shares = np.array([part.weight / part.spread.width for part in parts])
    vectors = np.stack([part.vector for part in parts]).astype(np.float64)
    total = (shares / shares.sum()) @ vectors
    if np.linalg.norm(total) < LEAST_LENGTH:
        raise InvalidInput(
            "The parts of the query cancel each other out; nothing is left to look for."
        )
    return l2_normalise(total)


def taken(vectors: Matrix, unwanted: Sequence[WeighedPart]) -> Floats:
    """Return (n,) how many spreads each row loses for being like what is not wanted, each >= 0.

    A part takes nothing from what does not stand out as like it, so the rest keeps its order. A
    difference of vectors would turn the whole ranking away from all that the two have in common.

    Args:
        vectors: (n, d) float32, unit rows.
        unwanted: parts with weights < 0.
    """
    lost = np.zeros(len(vectors))
    for part in unwanted:
        lost -= part.weight * TAKEN * np.maximum(0.0, part.standing(vectors) - STANDS_OUT)
    return lost
