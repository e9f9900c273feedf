"""Checks of a query that every index makes before it searches."""

from __future__ import annotations

import numpy as np

from mirada.kernel.embeddings import Matrix
from mirada.kernel.errors import InvalidInput


def check_queries(queries: Matrix, k: int, dimension: int) -> Matrix:
    """Return the queries as C-contiguous (n, dimension) float32.

    Raises:
        InvalidInput: k < 1, wrong dimension, or a query that is not finite.
    """
    if k < 1:
        raise InvalidInput("The number of results must be at least 1.")
    if queries.ndim != 2 or queries.shape[1] != dimension:
        raise InvalidInput(
            f"A query vector must have {dimension} numbers, not {queries.shape[-1]}."
        )
    if not np.isfinite(queries).all():
        raise InvalidInput("A query vector may hold finite numbers only, not NaN or infinity.")
    return np.ascontiguousarray(queries, dtype=np.float32)
