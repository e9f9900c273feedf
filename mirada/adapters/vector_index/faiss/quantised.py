"""The quantised form: one bit a number, scanned in passing; the best candidates are compared exactly.

RaBitQ (Gao and Long, SIGMOD 2024) estimates the distance of two vectors from the signs of one of them
and from two numbers about it, without bias. Signs say most where all numbers are alike, so vectors are
turned by a random rotation first: without it, a few long axes made the error four times as large.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
import numpy.typing as npt

from mirada.adapters.vector_index.faiss.vectors_file import VectorsFile, mapped_index
from mirada.kernel.embeddings import Matrix, Vector

TRAINING_ROWS = 8_192
"""Rows whose mean is the centre: its error is a ninetieth of the vectors' spread."""
Rows = npt.NDArray[np.int64]


class Candidates(NamedTuple):
    """Rows a scan brought up, best first.

    Attributes:
        rows: (c,) int64.
        estimates: (c,) float32 estimated cosines, falling.
        is_everything: nothing permitted was left out.
    """

    rows: Rows
    estimates: npt.NDArray[np.float32]
    is_everything: bool


class QuantisedForm:
    """The quantised vectors of a snapshot. Read-only and thread-safe."""

    def __init__(self, index: Any) -> None:
        """Keep an IndexPreTransform of a rotation and an IndexIVFRaBitQFastScan of one list.

        IndexRaBitQFastScan takes no selector, and inner products are estimated about the origin, not
        the centre; squared distances of unit vectors order them alike.
        """
        self.index = index

    @classmethod
    def trained(cls, sample: Matrix) -> QuantisedForm:
        """Return an empty form with the centre of a sample of rows."""
        rotation = faiss.HadamardRotation(sample.shape[1])
        centres = faiss.IndexFlatL2(rotation.d_out)
        scanned = faiss.IndexIVFRaBitQFastScan(centres, rotation.d_out, 1, faiss.METRIC_L2)
        # FAISS's Python objects keep those they were given.
        index = faiss.IndexPreTransform(rotation, scanned)
        rotation.train(sample)
        centres.add(rotation.apply(sample).mean(axis=0, keepdims=True))
        index.train(sample)
        return cls(index)

    @classmethod
    def of_file(cls, file: VectorsFile, chunks: Iterable[tuple[int, Matrix]]) -> QuantisedForm:
        """Return the form of every row of a file, read in the given chunks."""
        rows = np.linspace(0, file.count - 1, min(file.count, TRAINING_ROWS)).astype(np.int64)
        form = cls.trained(file.mapped().take(rows))
        for _, chunk in chunks:
            form.index.add(np.ascontiguousarray(chunk))
        return form

    @classmethod
    def read(cls, path: Path) -> QuantisedForm:
        """Return the form in a file. Raises RuntimeError, as FAISS does."""
        index = mapped_index(path)
        if not isinstance(index, faiss.IndexPreTransform):
            raise TypeError(f"{path.name} holds a {type(index).__name__}")
        return cls(index)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return int(self.index.ntotal)

    def candidates(self, query: Vector, depth: int, selector: Any = None) -> Candidates:
        """Return the `depth` rows nearest by estimate, of those the selector lets through."""
        depth = min(depth, len(self))
        distances, rows = self.index.search(
            query.reshape(1, -1), depth, params=scan_parameters(selector)
        )
        found = int(np.count_nonzero(rows[0] >= 0))
        estimates = 1.0 - distances[0, :found] / 2.0
        return Candidates(rows[0, :found], estimates, found < depth or depth == len(self))


def chance_missed(best: npt.NDArray[np.floating], last_estimate: float, spread: float) -> float:
    """Return the mean chance with which a scan would have left out vectors as near as those it found.

    A vector is left out when its estimate falls below the last one that was looked at, so when its
    error exceeds the distance. Errors are taken as logistic with that spread: their tail is a little
    heavier than the normal one that they have.

    Args:
        best: (k,) exact cosines of the best that were found.
        last_estimate: the lowest estimate among the candidates.
        spread: standard deviation of the estimates' errors, > 0.
    """
    standing = np.clip(1.702 * (best - last_estimate) / spread, -60.0, 60.0)
    return float(np.mean(1.0 / (1.0 + np.exp(standing))))


def scan_parameters(selector: Any) -> Any:
    """Return the parameters of a scan of the rows that a FAISS selector lets through; None for all."""
    if selector is None:
        return None
    inner = faiss.IVFRaBitQSearchParameters(sel=selector, nprobe=1)
    return faiss.SearchParametersPreTransform(index_params=inner)
