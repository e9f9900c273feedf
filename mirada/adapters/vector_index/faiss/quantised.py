"""The quantised form: one bit a number, scanned in passing; the best candidates are compared exactly.

RaBitQ (Gao and Long, SIGMOD 2024) estimates the distance of two vectors from the signs of one of them
and from two numbers about it, without bias. Signs say most where all numbers are alike, so vectors are
turned by a random rotation first: without it, a few long axes made the error four times as large.

Rows lie in inverted lists by their nearest centre (IVF). Their estimates are about that centre, which
makes the error smaller; and a query that needs no guarantee may look at the nearest lists alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
import numpy.typing as npt

from mirada.adapters.vector_index.faiss.rotation import Rotation
from mirada.adapters.vector_index.faiss.vectors_file import VectorsFile, mapped_index
from mirada.kernel.embeddings import Matrix, Vector

LIST_ROWS = 8_192
"""Rows of a list, on average. At a million rows, a third of 128 lists holds what a query looks for; with
more lists the tables that each one needs cost as much as its rows."""
TRAINING_ROWS = 8_192
"""Rows the centres are computed from, 64 for each list at a million rows: more changed no figure."""
TRAINING_ROUNDS = 8
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

    def __init__(self, index: Any, rotation: Rotation) -> None:
        """Keep an IndexIVFRaBitQFastScan and what vectors are turned by before.

        IndexRaBitQFastScan takes no selector, and inner products are estimated about the origin, not
        the centre; squared distances of unit vectors order them alike.
        """
        self.index = index
        self.rotation = rotation

    @classmethod
    def trained(cls, sample: Matrix, lists: int) -> QuantisedForm:
        """Return an empty form with the centres of a sample of rows."""
        rotation = Rotation.random(sample.shape[1])
        turned = rotation.apply(sample)
        centres = faiss.IndexFlatL2(rotation.dimension)
        if lists == 1:
            centres.add(turned.mean(axis=0, keepdims=True))
        else:
            kmeans = faiss.Kmeans(rotation.dimension, lists, niter=TRAINING_ROUNDS, seed=1)
            kmeans.cp.min_points_per_centroid = 1
            kmeans.train(turned)
            centres.add(kmeans.centroids)
        # FAISS's Python objects keep those they were given.
        index = faiss.IndexIVFRaBitQFastScan(centres, rotation.dimension, lists, faiss.METRIC_L2)
        index.train(turned)
        return cls(index, rotation)

    @classmethod
    def for_file(cls, file: VectorsFile, list_rows: int = LIST_ROWS) -> QuantisedForm:
        """Return an empty form with the centres of a sample of a file's rows."""
        rows = np.linspace(0, file.count - 1, min(file.count, TRAINING_ROWS)).astype(np.int64)
        lists = min(max(1, file.count // list_rows), rows.size)
        return cls.trained(file.mapped().take(rows), lists)

    def add(self, rows: Matrix) -> None:
        """Append (n, d) float32 rows."""
        self.index.add(self.rotation.apply(rows))

    @classmethod
    def read(cls, path: Path, rotation: Rotation) -> QuantisedForm:
        """Return the form in a file. Raises RuntimeError, as FAISS does."""
        index = mapped_index(path)
        if not isinstance(index, faiss.IndexIVFRaBitQFastScan) or index.d != rotation.dimension:
            raise TypeError(f"{path.name} holds a {type(index).__name__}")
        return cls(index, rotation)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return int(self.index.ntotal)

    @property
    def lists(self) -> int:
        """Return how many lists there are."""
        return int(self.index.nlist)

    def candidates(
        self, query: Vector, depth: int, selector: Any = None, *, lists: int | None = None
    ) -> Candidates:
        """Return the rows nearest by estimate.

        Args:
            query: (d,) float32.
            depth: how many.
            selector: FAISS selector of the rows that count; None for all.
            lists: how many of the lists, the nearest; None for all of them.
        """
        depth, lists = min(depth, len(self)), lists or self.lists
        parameters = faiss.IVFRaBitQSearchParameters(sel=selector, nprobe=lists)
        turned = self.rotation.apply(query.reshape(1, -1))
        distances, rows = self.index.search(turned, depth, params=parameters)
        found = int(np.count_nonzero(rows[0] >= 0))
        estimates = 1.0 - distances[0, :found] / 2.0
        is_everything = lists >= self.lists and (found < depth or depth == len(self))
        return Candidates(rows[0, :found], estimates, is_everything)

    def ranks_of_lists(self, query: Vector) -> Rows:
        """Return for each list how many lists are nearer to the query, (lists,) int64."""
        turned = self.rotation.apply(query.reshape(1, -1))
        _, nearest = self.index.quantizer.search(turned, self.lists)
        ranks = np.empty(self.lists, np.int64)
        ranks[nearest[0]] = np.arange(self.lists)
        return ranks

    def list_of_rows(self) -> npt.NDArray[np.int32]:
        """Return the list that each row lies in, (n,)."""
        found = np.empty(len(self), np.int32)
        for number in range(self.lists):
            size = self.index.invlists.list_size(number)
            if size:
                ids = faiss.rev_swig_ptr(self.index.invlists.get_ids(number), size)
                found[ids] = number
        return found


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
