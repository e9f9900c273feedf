"""A random rotation that spreads every number of a vector over all of them, for a fourth of a full one.

The rotation is the Kronecker product of two small ones: vectors are read as a table, whose rows are
turned by the one and whose columns by the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from mirada.kernel.embeddings import Matrix

SEED = 20_261


@dataclass(frozen=True, slots=True)
class Rotation:
    """An orthogonal map of d numbers, d = r x c.

    Attributes:
        columns: (r, r) float32 orthogonal; turns each column of the table.
        rows: (c, c) float32 orthogonal; turns each row of it.
    """

    columns: Matrix
    rows: Matrix

    @classmethod
    def random(cls, dimension: int) -> Self:
        """Return one for vectors of d numbers; the table is as near to a square as d permits."""
        r = next(r for r in range(int(dimension**0.5), 0, -1) if dimension % r == 0)
        rng = np.random.default_rng(SEED)
        return cls(*(_orthogonal(rng, side) for side in (r, dimension // r)))

    @property
    def dimension(self) -> int:
        """Return d."""
        return len(self.columns) * len(self.rows)

    def apply(self, vectors: Matrix) -> Matrix:
        """Return (n, d) float32 turned vectors; lengths and inner products stay.

        Args:
            vectors: (n, d) float32.
        """
        r, c = len(self.columns), len(self.rows)
        turned = (vectors.reshape(-1, c) @ self.rows).reshape(-1, r, c)
        return np.asarray(np.matmul(self.columns, turned).reshape(-1, r * c))


def _orthogonal(rng: np.random.Generator, side: int) -> Matrix:
    factor, triangle = np.linalg.qr(rng.standard_normal((side, side)))
    # With these signs every rotation is as likely as any other (Mezzadri 2007).
    return np.ascontiguousarray(factor * np.sign(np.diag(triangle)), np.float32)
