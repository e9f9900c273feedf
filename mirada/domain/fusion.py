"""Several rankings of the same things made into one, by rank alone: scores of two sources never meet.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RRF_K = 60
"""Keeps one source's first place from outweighing agreement; the value of the paper, section 2."""


@dataclass(frozen=True, slots=True)
class WeightedRanking:
    """What one source found.

    Attributes:
        source: its name.
        weight: how much it counts, >= 0; 0 leaves it out.
        ids: best first, each id once.
    """

    source: str
    weight: float
    ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Fused:
    """One thing that was found.

    Attributes:
        id: what was ranked.
        score: sum over the sources of weight / (RRF_K + rank); > 0, higher is better.
        ranks: source -> rank from 1, for each source that found it, in the order of the rankings.
    """

    id: int
    score: float
    ranks: dict[str, int]


def reciprocal_rank_fusion(rankings: Sequence[WeightedRanking]) -> list[Fused]:
    """Return everything that was found, best first, ties by id.

    >>> words = WeightedRanking("keywords", 1.0, [7])
    >>> [found.id for found in reciprocal_rank_fusion([WeightedRanking("pictures", 1.0, [3, 7]), words])]
    [7, 3]

    Raises:
        ValueError: a weight is negative or not finite, or a source ranks an id twice.

    Source: Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and
    individual rank learning methods", SIGIR 2009; the weights are ours.
    """
    scores: dict[int, float] = {}
    ranks: dict[int, dict[str, int]] = {}
    for ranking in rankings:
        if not 0.0 <= ranking.weight < float("inf"):
            raise ValueError(f"The weight of {ranking.source} is {ranking.weight}.")
        if len(set(ranking.ids)) != len(ranking.ids):
            raise ValueError(f"{ranking.source} ranks something twice.")
        if ranking.weight == 0.0:
            continue
        for rank, id_ in enumerate(ranking.ids, start=1):
            scores[id_] = scores.get(id_, 0.0) + ranking.weight / (RRF_K + rank)
            ranks.setdefault(id_, {})[ranking.source] = rank
    fused = [Fused(id_, score, ranks[id_]) for id_, score in scores.items()]
    fused.sort(key=lambda found: (-found.score, found.id))
    return fused
