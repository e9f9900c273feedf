"""Exact inner products over rows that lie in one piece of memory, mapped from a file or not."""

from __future__ import annotations

import mmap
from typing import Any, Self

import faiss
import numpy as np
import numpy.typing as npt

from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.similarity import Floats, cosines

Rows = npt.NDArray[np.int64]

RESCORED_ROWS = 2_048
"""Rows widened to float64 at a time: 8 MB of 512-d vectors."""


class VectorBlock:
    """(n, d) float32 rows without a copy. Read-only and thread-safe.

    Vectors mapped from a FAISS file start at an odd address, where numpy would first copy all of
    them (123 ms for 100,000 x 512 instead of 15). So FAISS's own kernels do the scanning. They
    compute outside OpenMP, without the GIL, and take a list of rows without gathering them.
    """

    def __init__(self, pointer: Any, rows: Matrix, owner: object) -> None:
        """Keep a SWIG pointer, a numpy view of the same memory, and what keeps it alive."""
        self._pointer = pointer
        self._rows = rows
        self._owner = owner

    @classmethod
    def of_array(cls, rows: Matrix) -> Self:
        """Wrap C-contiguous rows."""
        return cls(faiss.swig_ptr(rows) if rows.size else None, rows, rows)

    @classmethod
    def of_index(cls, index: Any) -> Self:
        """Wrap the vectors an IndexFlat, or an IndexHNSWFlat, stores."""
        pointer = storage_of(index).get_xb()
        shape = (int(index.ntotal), int(index.d))
        rows = faiss.rev_swig_ptr(pointer, shape[0] * shape[1]).reshape(shape)
        return cls(pointer, rows, index)

    def __len__(self) -> int:
        """Return n."""
        return int(self._rows.shape[0])

    def inner_products(
        self, query: Vector, rows: Rows | None = None, *, stop: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the inner products with the given rows, or with all, to float32 rounding.

        Args:
            query: (d,) C-contiguous.
            rows: their numbers; None for the first `stop`, or all.
            stop: <= n.
        """
        count = (len(self) if stop is None else stop) if rows is None else rows.size
        products = np.empty(count, np.float32)
        if not count:
            return products
        dimension = query.size
        if rows is None:
            faiss.fvec_inner_products_ny(
                faiss.swig_ptr(products), faiss.swig_ptr(query), self._pointer, dimension, count
            )
        else:
            faiss.fvec_inner_products_by_idx(
                faiss.swig_ptr(products),
                faiss.swig_ptr(query),
                self._pointer,
                faiss.swig_ptr(np.ascontiguousarray(rows)),
                dimension,
                1,
                count,
            )
        return products

    def nearest(self, queries: Matrix) -> npt.NDArray[np.float32]:
        """Return the highest inner product of each query with any row, (q,), in one pass.

        Args:
            queries: (q, d) float32.
        """
        best = np.full(len(queries), -np.inf, np.float32)
        for start in range(0, len(self), RESCORED_ROWS):
            # A copy is at an even address, as BLAS wants it.
            rows = np.array(self._rows[start : start + RESCORED_ROWS])
            np.maximum(best, (queries @ rows.T).max(axis=1), out=best)
        return best

    def take(self, rows: Rows) -> Matrix:
        """Return a copy of the given rows."""
        return np.array(self._rows[rows])

    def touch(self) -> None:
        """Read a byte of every page, so that no search has to wait for it."""
        self._rows[:: max(1, mmap.PAGESIZE // max(1, self._rows.strides[0])), 0].sum()

    def cosines(self, query: Vector, rows: Rows) -> Floats:
        """Return the similarities that are reported; see `kernel.similarity.cosines`."""
        parts = [
            cosines(self.take(rows[start : start + RESCORED_ROWS]), query)
            for start in range(0, rows.size, RESCORED_ROWS)
        ]
        return np.concatenate(parts) if parts else np.empty(0)


def storage_of(index: Any) -> Any:
    """Return the flat index in which a graph keeps its vectors; a flat index is its own."""
    return faiss.downcast_index(index.storage) if hasattr(index, "storage") else index
