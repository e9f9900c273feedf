"""The scores that finds and near misses have in one collection, and the relevance of a score by them.

A cosine means nothing by itself: what is a find with one model is noise with another. The hard case is
no random picture either, but a near miss: the zebra that is the best there is for "giraffe". So the
collection is measured with questions whose own answers are left out (`LeaveOneOut`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mirada.kernel.embeddings import Matrix
from mirada.kernel.similarity import Floats

FIND_SHARE = 0.1
"""Share of the finds that may lie below the limit of relevance. They are found by questions that fit
them less well than a person's own words would: 10 % of these are about 5 % of those."""
RIVAL_SHARE = 0.25
"""Share of the score of the best rival that is taken from a text's score with a picture. Measured on
drawings that are in no examination: 0.25 refuses 4 to 9 in a hundred absent things more than 0 does."""
MISS_SHARE = 0.95
"""Share of the near misses that the limit has to refuse; it need not be higher than that."""
LEAST_SAMPLE = 20
"""Finds, and near misses, without which nothing is measured."""
LEAST_WIDTH = 0.01
"""Smallest distance of cosines between the limit and the middle of finds or near misses."""
LOG_ODDS = math.log(19)
"""Log-odds of relevance 0.95; a middle find has this, a middle near miss its negative."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The relevance of cosines: 0.5 at `limit`, 0.05 at `limit - below`, 0.95 at `limit + above`.

    Attributes:
        limit: cosine from which a result is relevant.
        below: > 0.
        above: > 0.
    """

    limit: float
    below: float
    above: float

    def relevances(self, similarities: npt.ArrayLike) -> Floats:
        """Return relevances in [0, 1]: logistic in the cosine, with a slope for each side of the limit.

        relevance = 1 / (1 + exp(-ln(19) (s - limit) / w)), where w is `below` for s < limit and
        `above` elsewhere. A higher cosine never has a lower relevance.
        """
        distance = np.asarray(similarities, dtype=np.float64).ravel() - self.limit
        width = np.where(distance < 0, self.below, self.above)
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(LOG_ODDS * distance / width, -500, 500))))

    def raised_to(self, limit: float) -> Scale:
        """Return the scale with at least this limit."""
        return replace(self, limit=max(self.limit, limit))

    def moved(self, by: float) -> Scale:
        """Return the scale with its limit moved up by a cosine."""
        return replace(self, limit=self.limit + by)


def blended(parts: Sequence[tuple[Scale, float]], length: float) -> Scale:
    """Return the scale of a query that is a weighted sum of others.

    The query is q = (w1 q1 + w2 q2 + ...) / length, so its cosine with a picture is the same sum of
    their cosines. A picture at the limit of every part is at the limit of the whole. The limit moves
    steadily with the weights, and a part whose weight goes to 0 has no say.

    Args:
        parts: each part's scale and weight > 0; at least one.
        length: norm of the weighted sum before it is normalised, > 0.
    """

    def summed(numbers: Sequence[float]) -> float:
        return sum(n * weight for n, (_, weight) in zip(numbers, parts, strict=True)) / length

    return Scale(
        summed([scale.limit for scale, _ in parts]),
        max(LEAST_WIDTH, summed([scale.below for scale, _ in parts])),
        max(LEAST_WIDTH, summed([scale.above for scale, _ in parts])),
    )


@dataclass(frozen=True, slots=True)
class Calibration:
    """The measurement of one form of query in one collection; all numbers but counts are cosines.

    Attributes:
        near_miss: median of the near misses.
        near_miss_high: their quantile MISS_SHARE.
        find_low: quantile FIND_SHARE of the finds.
        find: their median.
        finds: how many there were.
        near_misses: how many there were.
    """

    near_miss: float
    near_miss_high: float
    find_low: float
    find: float
    finds: int
    near_misses: int

    @property
    def tells_apart(self) -> bool:
        """Whether the limit that refuses near misses loses no more finds than may be lost."""
        return self.near_miss_high <= self.find_low

    @property
    def scale(self) -> Scale:
        """The scale that follows.

        The limit is the lower one of two: the score that few near misses reach, and the score that
        few finds fall short of. Where a source tells the two apart, as captions do, it is the first,
        and absent things are refused. Where it cannot, as with pictures, it is the second: it is
        better to show too much than to hide what is there.
        """
        limit = min(self.near_miss_high, self.find_low)
        above = max(LEAST_WIDTH, self.find - limit)
        return Scale(
            limit,
            max(LEAST_WIDTH, limit - self.near_miss, above / 2),
            above,
        )


def calibration_of(finds: npt.ArrayLike, near_misses: npt.ArrayLike) -> Calibration | None:
    """Return the calibration from samples of cosines; None where one of them is too small."""
    found, missed = (np.asarray(each, dtype=np.float64) for each in (finds, near_misses))
    if min(found.size, missed.size) < LEAST_SAMPLE:
        return None
    near_miss, near_miss_high = np.quantile(missed, [0.5, MISS_SHARE])
    find_low, find = np.quantile(found, [FIND_SHARE, 0.5])
    return Calibration(
        float(near_miss),
        float(near_miss_high),
        float(find_low),
        float(find),
        found.size,
        missed.size,
    )


class LeaveOneOut:
    """Best scores of probes in a collection, with and without what is their own.

    A probe is a text, in one of several languages, that names a thing. An item's own thing is the one
    whose probe is nearest to it of all probes. The best item of a probe is a find where the choice is
    mutual: the probe's thing is the item's own. The best item whose own thing is another one is the
    probe's near miss: with its own items left out, that is what asking for an absent thing finds.

    With rivals, a probe's score with an item is less by RIVAL_SHARE of the best rival's score with it.
    The rival is of another thing than the probe's. So the zebra that "zebra" describes much better
    than "giraffe" is no giraffe. The best item is still the one with the highest score.

    Items are added page by page. Only the best scores are kept.
    """

    def __init__(
        self, probes: Matrix, things: npt.NDArray[np.int64], rivals: Matrix | None = None
    ) -> None:
        """Keep (p, d) float32 unit rows, the (p,) thing of each, and a (t, d) rival for each thing."""
        self._probes, self._things, self._rivals = probes, things, rivals
        self._best = np.full(len(probes), -np.inf)
        self._find = np.full(len(probes), -np.inf)
        self._is_own = np.zeros(len(probes), bool)
        self._others_best = np.full(len(probes), -np.inf)
        self._near_miss = np.full(len(probes), -np.inf)

    def add(self, items: Matrix) -> None:
        """Add (n, d) float32 unit rows."""
        if not len(items):
            return
        scores = self._probes @ items.T
        own = self._things[scores.argmax(axis=0)]
        is_own = own[np.newaxis, :] == self._things[:, np.newaxis]
        rows, best_at = np.arange(len(scores)), scores.argmax(axis=1)
        best, taken = scores[rows, best_at], self._taken(items, best_at)
        is_better = best > self._best
        self._is_own = np.where(is_better, is_own[rows, best_at], self._is_own)
        self._find = np.where(is_better, best - taken, self._find)
        self._best = np.maximum(self._best, best)
        scores[is_own] = -np.inf
        best_at = scores.argmax(axis=1)
        best, taken = scores[rows, best_at], self._taken(items, best_at)
        is_better = best > self._others_best
        self._near_miss = np.where(is_better, best - taken, self._near_miss)
        self._others_best = np.maximum(self._others_best, best)

    def _taken(
        self, items: Matrix, chosen: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32] | float:
        """Return what is taken from each probe's score with the item that it chose."""
        if self._rivals is None:
            return 0.0
        scores = items[chosen] @ self._rivals.T
        scores[np.arange(len(scores)), self._things] = -1.0
        return np.asarray(RIVAL_SHARE * scores.max(axis=1))

    @property
    def finds(self) -> Floats:
        """The scores of probes with their best item, where that chooses them too."""
        return np.asarray(self._find[self._is_own])

    @property
    def near_misses(self) -> Floats:
        """The best score of each probe with an item that is not its own."""
        return np.asarray(self._near_miss[np.isfinite(self._near_miss)])


class Neighbours:
    """The best score of each of some items with any other item of the collection."""

    def __init__(self, ids: npt.NDArray[np.int64], items: Matrix) -> None:
        """Keep (s,) ids and (s, d) float32 unit rows of a sample of the collection."""
        self._ids, self._items = ids, items
        self._best = np.full(len(ids), -np.inf)

    def add(self, ids: npt.NDArray[np.int64], items: Matrix) -> None:
        """Add (n,) ids and (n, d) float32 unit rows of the collection; the sample is among them."""
        if not len(items) or not len(self._items):
            return
        scores = self._items @ items.T
        scores[self._ids[:, np.newaxis] == ids[np.newaxis, :]] = -np.inf
        self._best = np.maximum(self._best, scores.max(axis=1))

    @property
    def best(self) -> Floats:
        """The best scores, of those that have any other item."""
        return np.asarray(self._best[np.isfinite(self._best)])
