"""Matches, their order, and the relevance of scores against the background of their query."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
"""float64 of any shape."""

BACKGROUND_ROWS = 512
"""Scores sampled from the whole collection: a median of 512 is within 0.06 sigma of the true one."""
PRIOR = 0.15 + 0.1 * np.array([-1.534, -0.887, -0.489, -0.157, 0.157, 0.489, 0.887, 1.534])
"""A prior background of eight scores, as unrelated pictures usually have with CLIP-like encoders: centre,
spread, and the quantiles (i - 1/2) / 8 of a standard normal distribution. It serves collections of a few
pictures; among 512 real scores it weighs 1.5 %."""
LEAST_SPREAD = 0.01
"""Lowest spread: a background with less consists of equal scores and has no width to measure."""
RELEVANT_FROM, WEAK_FROM = 0.8, 0.5
"""Lowest relevance of each verdict on an answer, by its best result. A single result is relevant from
WEAK_FROM, so an answer is NOTHING exactly when none of its results is relevant."""


class SearchWay(StrEnum):
    """The way an answer was computed: a scan of every permitted vector, or a shorter way.

    QUANTISED scans vectors of one bit a number and compares the best candidates exactly; IVF does so
    in those lists of them that lie near the query. HNSW walks through a graph; WIDENED is a walk that
    was repeated with a wider beam.
    """

    EXACT = "exact"
    QUANTISED = "quantised"
    IVF = "ivf"
    HNSW = "hnsw"
    WIDENED = "hnsw-widened"
    EMPTY = "empty"


class QueryForm(StrEnum):
    """The form of a query vector, on which depends how far an approximate search has to look.

    Vectors of texts and means of several vectors lie off the distribution of the stored ones.
    """

    PICTURE = "picture"
    """One like the stored vectors: a picture among pictures, a text among texts."""
    BLEND = "blend"
    """A weighted sum of several."""
    TEXT = "text"
    """A text among pictures."""


class Verdict(StrEnum):
    """The judgement of a whole answer by its best result."""

    RELEVANT = "relevant"
    WEAK = "weak"
    NOTHING = "nothing relevant"


@dataclass(frozen=True, slots=True, order=False)
class Match:
    """A vector that was found: its embedding id, and its cosine in [-1, 1]; higher is nearer."""

    id: int
    similarity: float


def cosines(vectors: npt.NDArray[np.float32], query: npt.NDArray[np.float32]) -> Floats:
    """Return (n,) cosines in [-1, 1] of unit rows (n, d) with a unit query (d,), as float64.

    Sums are made in float64 and rounded to float32. So every way of searching reports the same
    number for the same vector, and equal vectors have equal scores.
    """
    # A matrix product would wake a BLAS thread per core for a few rows, and wait for each.
    summed: Floats = np.einsum("nd,d->n", vectors.astype(np.float64), query.astype(np.float64))
    return np.clip(summed, -1.0, 1.0).astype(np.float32).astype(np.float64)


def best_matches(
    ids: npt.NDArray[np.int64], similarities: npt.NDArray[np.floating], k: int
) -> list[Match]:
    """Return the min(k, n) best matches, highest similarity first, ties by ascending id."""
    order = np.lexsort((ids, -similarities))[:k]
    return [
        Match(int(id_), float(similarity))
        for id_, similarity in zip(ids[order], similarities[order], strict=True)
    ]


def sampling_order(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return a fixed pseudo-random number per id; the smallest ones are the background sample.

    A hash makes every process sample the same pictures, whatever snapshot it has. A new picture
    changes at most one of them.

    Source: the splitmix64 finaliser, Steele, Lea and Flood, OOPSLA 2014, section 5.
    """
    mixed = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def relevances(
    similarities: npt.ArrayLike, background: npt.ArrayLike, collection_size: int
) -> Floats:
    """Return the relevance of each score: the estimated probability that it is not there by chance.

    1. Cosines become u = atanh(cosine), Fisher's transform, whose noise does not shrink near 1.
    2. The noise has the background's median m and the spread 1.4826 x MAD. Even 40 % of true
       matches in the background hardly change these. The upper tail of such scores is heavier
       than normal, so it is taken as logistic: p(u) = 1 / (1 + exp(1.8138 (u - m) / spread)).
    3. Of n pictures, n p(u) reach u by chance. R(u) reach it in fact, counted in the background,
       at least one. The smallest n p / R over thresholds up to u is the expected share of
       accidents, the q-value of a false discovery rate. Relevance is one minus that.

    So the best of n noise scores stays irrelevant however large n is. A thousand true matches in a
    million pictures are recognised by their number.

    There are two limits. Where more than half of the collection matches the query, the matches
    are the background, and relevance stays low. A background of two very different halves has a
    wide spread, and relevance is underestimated.

    Args:
        similarities: cosines in [-1, 1].
        background: cosines of a random sample of the same collection with the same query.
        collection_size: number of pictures that could have been found, >= 0.

    Returns:
        As many values in [0, 1]; a higher similarity never has a lower relevance.

    Source: Storey, "A direct approach to false discovery rates", JRSS-B 64 (2002), section 2.
    """
    scores = _fisher(similarities)
    sample = np.sort(_fisher(background))
    if not collection_size or not scores.size:
        return np.zeros(scores.shape)
    noise = np.concatenate([sample, PRIOR])
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


def verdict(relevances_found: Iterable[float]) -> Verdict:
    """Return the verdict on an answer by its highest relevance; NOTHING for an empty answer."""
    best = max(relevances_found, default=0.0)
    if best < WEAK_FROM:
        return Verdict.NOTHING
    return Verdict.RELEVANT if best >= RELEVANT_FROM else Verdict.WEAK


def _fisher(similarities: npt.ArrayLike) -> Floats:
    values = np.asarray(similarities, dtype=np.float64).ravel()
    return np.arctanh(np.clip(values, -1 + 1e-6, 1 - 1e-6))
