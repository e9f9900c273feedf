"""Spherical k-means by FAISS, with first centres by `mirada.kernel.clustering.spread_seeds`."""

from __future__ import annotations

import os

import faiss
import numpy as np

from mirada.kernel.clustering import spread_seeds
from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.errors import InvalidInput

ITERATIONS = 25
"""FAISS's default; with planted groups the centres no longer move after three iterations."""


class FaissKMeans:
    """The implementation of `mirada.ports.Grouping` by FAISS. It has no state, so it is thread-safe."""

    def centres(self, vectors: Matrix, k: int, seed: int) -> Matrix:
        """Return (m, d) unit centres, m <= k; see `Grouping.centres`. Raises InvalidInput."""
        if k < 1 or not len(vectors):
            raise InvalidInput("Groups need at least one vector and k of at least 1.")
        # FAISS's own k-means++ gave two of twenty planted groups one centre in ten of ten draws, and
        # Lloyd's iterations do not separate them.
        seeds = spread_seeds(vectors, k, seed)
        k_means = faiss.Kmeans(
            vectors.shape[1],
            len(seeds),
            niter=ITERATIONS,
            seed=seed,
            spherical=True,
            # The caller chose the sample, so FAISS must not draw another or warn about a small one.
            min_points_per_centroid=1,
            max_points_per_centroid=len(vectors),
        )
        # The number holds for this thread alone; one core is left for requests.
        faiss.omp_set_num_threads(max(1, (os.cpu_count() or 1) - 1))
        k_means.train(np.ascontiguousarray(vectors), init_centroids=seeds)
        return l2_normalise(k_means.centroids)
