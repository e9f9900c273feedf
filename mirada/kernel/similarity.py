"""Matches, their order, and how relevant a score is against its query's own background."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BACKGROUND_ROWS = 512
"""Scores that stand for the whole collection: a median of 512 is within 0.06 sigma of the truth."""
PRIOR_CENTRE, PRIOR_SPREAD, PRIOR_SCORES = 0.15, 0.1, 8
"""What unrelated pictures usually score with CLIP-like encoders, as eight imagined scores, so that a
collection of a handful has a background at all. Among 512 real scores they weigh 1.5 %."""
LEAST_SPREAD = 0.01
"""Spread below which a background is taken to be identical scores, not a measured width."""
RELEVANT_FROM, WEAK_FROM = 0.8, 0.5
"""Relevance is the estimated share that is no accident: four of five, and one of two."""


class SearchWay(StrEnum):
    """How an answer was computed: by scanning every permitted vector, or through the graph."""

    EXACT = "exact"
    HNSW = "hnsw"
    WIDENED = "hnsw-widened"
    EMPTY = "empty"


class Verdict(StrEnum):
    """What a whole answer amounts to, judged by its best result."""

    RELEVANT = "relevant"
    WEAK = "weak"
    NOTHING = "nothing relevant"


@dataclass(frozen=True, slots=True, order=False)
class Match:
    """One found vector: its embedding id and its cosine similarity in [-1, 1], higher is nearer."""

    id: int
    similarity: float


def cosines(vectors: npt.NDArray[np.float32], query: npt.NDArray[np.float32]) -> Floats:
    """Return (n,) cosines of unit rows with a unit query, as float64 values exact to float32.

    They are summed in float64 and then rounded, so that every way of searching, in whatever order
    its loops add, reports the same number for the same vector, and equal vectors really tie.
    """
    # Not a matrix product: BLAS would wake a thread per core for a few rows, and wait for each.
    summed: Floats = np.einsum("nd,d->n", vectors.astype(np.float64), query.astype(np.float64))
    return np.clip(summed, -1.0, 1.0).astype(np.float32).astype(np.float64)


def best_matches(
    ids: npt.NDArray[np.int64], similarities: npt.NDArray[np.floating], k: int
) -> list[Match]:
    """Return the min(k, n) best, highest similarity first, ties by ascending id."""
    order = np.lexsort((ids, -similarities))[:k]
    return [
        Match(int(id_), float(similarity))
        for id_, similarity in zip(ids[order], similarities[order], strict=True)
    ]


def sampling_order(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return a fixed pseudo-random number per id; the smallest ones are the background sample.

    A hash rather than a draw: every process, whatever its snapshot, samples the same pictures, and
    a new picture changes at most one of them.

    Source: the splitmix64 finaliser, Steele, Lea and Flood, OOPSLA 2014, section 5.
    """
    mixed = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def relevances(
    similarities: npt.ArrayLike, background: npt.ArrayLike, collection_size: int
) -> Floats:
    """Return for each score the estimated probability that it is not there by chance.

    1. Cosines become u = atanh(cosine), Fisher's transform, whose noise does not shrink near 1.
    2. The noise is the background's median m and spread 1.4826 x MAD, which even 40 % of true
       matches among the background hardly move; its upper tail is taken as logistic, heavier than
       normal as such scores are: p(u) = 1 / (1 + exp(1.8138 (u - m) / spread)).
    3. Of n pictures, n p(u) reach u by chance. R(u) do reach it, read off the background and at
       least one. The smallest n p / R over thresholds up to u is the expected share of accidents
       (the q-value of a false discovery rate); relevance is one minus that.

    So the best of n noise scores stays irrelevant however large n is, yet a thousand true matches
    in a million pictures are recognised by being a thousand. Limits: where more than half of the
    collection shows what was asked for, that is its background, and relevance stays low; a bent
    background, of two very different halves, widens the spread and makes the judgement cautious.

    Args:
        similarities: cosines in [-1, 1].
        background: cosines of a random sample of the same collection with the same query.
        collection_size: how many pictures could have been found, >= 0.

    Returns:
        As many values in [0, 1], never falling where the similarity rises.

    Source: Storey, "A direct approach to false discovery rates", JRSS-B 64 (2002), section 2.
    """
    scores = _fisher(similarities)
    sample = np.sort(_fisher(background))
    if not collection_size or not scores.size:
        return np.zeros(scores.shape)
    noise = np.concatenate([sample, _prior()])
    centre = float(np.median(noise))
    spread = max(1.4826 * float(np.median(np.abs(noise - centre))), LEAST_SPREAD)

    def accidental(levels: Floats) -> Floats:
        standing = (levels - centre) / spread * (math.pi / math.sqrt(3))
        by_chance = collection_size / (1.0 + np.exp(np.clip(standing, -500, 500)))
        at_least = sample.size - np.searchsorted(sample, levels, side="left")
        reached = np.maximum(1.0, collection_size * at_least / max(1, sample.size))
        return np.minimum(1.0, by_chance / reached)

    best_so_far = np.minimum.accumulate(np.concatenate([[1.0], accidental(sample)]))
    below = np.searchsorted(sample, scores, side="right")
    return 1.0 - np.minimum(accidental(scores), best_so_far[below])


def relevance(similarity: float, background: npt.ArrayLike, collection_size: int) -> float:
    """Return `relevances` of one score."""
    return float(relevances([similarity], background, collection_size)[0])


def verdict(relevances_found: Iterable[float]) -> Verdict:
    """Say what an answer amounts to, by its best result's relevance; no result is no relevance."""
    best = max(relevances_found, default=0.0)
    if best < WEAK_FROM:
        return Verdict.NOTHING
    return Verdict.RELEVANT if best >= RELEVANT_FROM else Verdict.WEAK


def _fisher(similarities: npt.ArrayLike) -> Floats:
    values = np.asarray(similarities, dtype=np.float64).ravel()
    return np.arctanh(np.clip(values, -1 + 1e-6, 1 - 1e-6))


def _prior() -> Floats:
    # The quantiles (i - 1/2) / 8 of a standard normal distribution.
    quantiles = np.array([-1.534, -0.887, -0.489, -0.157, 0.157, 0.489, 0.887, 1.534])
    assert quantiles.size == PRIOR_SCORES
    return PRIOR_CENTRE + PRIOR_SPREAD * quantiles
