"""One scan of a probe, from which the results of every shallower one follow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mirada.adapters.vector_index.faiss.planning import WaySetting
from mirada.adapters.vector_index.faiss.quantised import chance_missed
from mirada.kernel.intervals import wilson_low

TIE = 1e-6
"""Of two neighbours that are equally near within rounding, either one is right."""

Numbers = npt.NDArray[Any]


def by_similarity(scores: Numbers, exact: Numbers, k: int) -> int:
    """Return how many of the true k nearest are among what was found.

    Args:
        scores: (n,) exact inner products of what was found.
        exact: (m,) those of the nearest, falling.
        k: <= m. Where fewer exist, all of them count.
    """
    real = exact[:k][np.isfinite(exact[:k])]
    if not real.size:
        return k
    found = min(int(np.count_nonzero(scores >= real[-1] - TIE)), real.size)
    return k - real.size + found


@dataclass(frozen=True, slots=True)
class Scan:
    """One probe's deepest scan, from which every shallower one follows.

    Attributes:
        exact: (c,) exact inner products of the candidates, best estimate first.
        estimates: (c,).
        truth: (m,) the exact answers'.
        is_everything: no permitted row is missing.
        list_ranks: (c,) how many lists are nearer to the query than the candidate's.
    """

    exact: Numbers
    estimates: Numbers
    truth: Numbers
    is_everything: bool
    list_ranks: Numbers

    def at(self, depth: int, k: int, spread: float) -> tuple[int, float]:
        """Return how many of the true k a scan of that depth finds, and the doubt it leaves."""
        exact = self.exact[:depth]
        hits = by_similarity(exact, self.truth, k)
        if exact.size < min(depth, k) or (self.is_everything and depth >= self.exact.size):
            return hits, 0.0
        if exact.size < k:
            return hits, 1.0
        best = np.partition(exact, exact.size - k)[exact.size - k :]
        return hits, chance_missed(best, float(self.estimates[exact.size - 1]), spread)


def judged(one: WaySetting, hits: int, trials: int, target: float) -> WaySetting:
    """Return the same with its recall, and left out where that may lie below the target."""
    low = wilson_low(hits, trials)
    reason = None
    if low < target:
        reason = f"its probes show a recall of {low:.3f} at least, below {target:g}"
    recall, low = round(hits / trials, 4), round(low, 4)
    return replace(one, recall=recall, recall_at_least=low, reason=reason)
