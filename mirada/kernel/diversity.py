"""Diversity of a ranking: what adds something new comes before more of the same."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mirada.kernel.embeddings import Matrix


def marginal_relevance_order(
    scores: npt.ArrayLike, vectors: Matrix, relevance_share: float
) -> list[int]:
    """Return the order of n items by maximal marginal relevance, the best first.

    Each next item is the one with the highest lambda x score - (1 - lambda) x nearness, where
    nearness is its highest similarity to one that was taken before. Both are brought to [0, 1] over
    these items, since a text's cosines with pictures are lower than those of pictures. The first k of
    the order are the same however many are asked for.

    Args:
        scores: (n,) numbers, higher is better.
        vectors: (n, d) float32, unit rows; a row of zeros is like nothing.
        relevance_share: lambda in [0, 1]: 1 keeps the order of scores, 0 looks for what is new alone.

    Source: Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents
    and producing summaries", SIGIR 1998, section 2.
    """
    relevance = _unit_range(np.asarray(scores, dtype=np.float64))
    count = len(relevance)
    if not count:
        return []
    alike = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    apart = ~np.eye(count, dtype=bool)
    alike[apart] = _unit_range(alike[apart])
    order = [int(np.argmax(relevance))]
    nearness = alike[order[0]].copy()
    is_left = np.ones(count, dtype=bool)
    is_left[order[0]] = False
    while len(order) < count:
        gains = relevance_share * relevance - (1.0 - relevance_share) * nearness
        best = int(np.argmax(np.where(is_left, gains, -np.inf)))
        order.append(best)
        is_left[best] = False
        np.maximum(nearness, alike[best], out=nearness)
    return order


def _unit_range(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
