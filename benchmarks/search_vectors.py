"""Synthetic vectors that behave like those of pictures and texts, and queries among them, by a seed.

They have what makes such vectors hard for an approximate index: clusters of very different sizes in few
effective dimensions, a common direction of each modality, and many near-duplicates. They are not those of
a real encoder. Speeds and the order of structures carry over; the last point of recall does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.kernel.embeddings import Matrix, l2_normalise
from mirada.kernel.similarity import QueryForm

DIMENSION = 512
LATENT = 96
"""Numbers that really vary; the other directions follow from them, as in a trained encoder."""
CLUSTERS = 3_000
DUPLICATES = 0.15
"""Share of rows that are a version of another row: resized, cropped, stored again."""
VERSION_SPREAD = 0.08
"""Length of the difference of such a version; their cosine is then about 0.997."""
MODALITY = 0.55
"""Length of the direction that all pictures share, and of the other that all texts share."""
LATENT_SPREAD = 0.9
"""Length of a row's own part beside the centre of its cluster, which has length 1."""
PROBES = 128
NEARNESS = 0.35
"""Length of what a query adds to a row; their cosine is then about 0.94."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Collection:
    """Rows with their clusters, and queries of each form.

    Attributes:
        vectors: (n, DIMENSION) float32 unit rows.
        cluster: (n,) int64, the cluster of each row.
        queries: (q, DIMENSION) float32 unit rows by form.
        probe_texts: (PROBES, DIMENSION) other texts, for a build to measure itself with.
    """

    vectors: Matrix
    cluster: npt.NDArray[np.int64]
    queries: dict[QueryForm, Matrix]
    probe_texts: Matrix


def collection(rows: int, queries: int, seed: int = 0) -> Collection:
    """Return the collection of a seed.

    Args:
        rows: n, >= 1.
        queries: q, of each form.
        seed: the same numbers give the same collection on the same version of numpy.
    """
    rng = np.random.default_rng(seed)
    basis = _basis(rng)
    picture_side, text_side = (_unit(rng.standard_normal(DIMENSION)) * MODALITY for _ in range(2))
    decay = 1.0 / np.sqrt(1.0 + np.arange(LATENT) / 6.0)
    centres = _lengths(rng.standard_normal((CLUSTERS, LATENT)) * decay, 1.0)
    weights = rng.pareto(1.2, CLUSTERS) + 0.05
    cluster = rng.choice(CLUSTERS, rows, p=weights / weights.sum()).astype(np.int64)

    def latent(of: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return centres[of] + _lengths(rng.standard_normal((of.size, LATENT)) * decay, LATENT_SPREAD)

    vectors = np.empty((rows, DIMENSION), np.float32)
    for start in range(0, rows, 50_000):
        part = slice(start, min(rows, start + 50_000))
        vectors[part] = l2_normalise(latent(cluster[part]) @ basis + picture_side)
    versions = rng.choice(rows, int(rows * DUPLICATES), replace=False)
    of = rng.integers(0, rows, versions.size)
    vectors[versions] = l2_normalise(vectors[of] + _noise(rng, of.size, VERSION_SPREAD))
    cluster[versions] = cluster[of]
    near = rng.integers(0, rows, (2, queries))
    pictures = l2_normalise(vectors[near[0]] + _noise(rng, queries, NEARNESS))
    others = l2_normalise(vectors[near[1]] + _noise(rng, queries, NEARNESS))
    asked = rng.choice(CLUSTERS, queries + PROBES, p=weights / weights.sum()).astype(np.int64)
    texts = l2_normalise(latent(asked) @ basis + text_side)
    return Collection(
        vectors,
        cluster,
        {
            QueryForm.PICTURE: pictures,
            QueryForm.BLEND: l2_normalise(pictures + others),
            QueryForm.TEXT: texts[:queries],
        },
        # Of the same clusters and the same side: drawn by another seed they would be of another encoder.
        texts[queries:],
    )


def some(rows: int, share: float, seed: int) -> Mask:
    """Return a mask of a random share of the rows, at least one."""
    mask = np.zeros(rows, bool)
    chosen = np.random.default_rng(seed).choice(rows, max(1, round(rows * share)), replace=False)
    mask[chosen] = True
    return mask


def some_clusters(cluster: npt.NDArray[np.int64], share: float, seed: int) -> Mask:
    """Return a mask of whole clusters, in a random order, until a share of the rows is reached.

    The cluster that passes the share is cut, so that shares are as asked for.
    """
    order = np.random.default_rng(seed).permutation(CLUSTERS)
    rank = np.empty(CLUSTERS, np.int64)
    rank[order] = np.arange(CLUSTERS)
    rows = np.argsort(rank[cluster], kind="stable")[: max(1, round(cluster.size * share))]
    mask = np.zeros(cluster.size, bool)
    mask[rows] = True
    return mask


def _basis(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    orthogonal, _ = np.linalg.qr(rng.standard_normal((DIMENSION, LATENT)))
    return np.ascontiguousarray(orthogonal.T)


def _noise(rng: np.random.Generator, count: int, length: float) -> npt.NDArray[np.float64]:
    return _lengths(rng.standard_normal((count, DIMENSION)), length)


def _lengths(rows: npt.NDArray[np.float64], length: float) -> npt.NDArray[np.float64]:
    scaled: npt.NDArray[np.float64] = rows * (length / np.linalg.norm(rows, axis=1, keepdims=True))
    return scaled


def _unit(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    unit: npt.NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit
