"""Reciprocal rank fusion: several rankings of the same things made into one, by rank alone.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

RRF_K = 60
"""Keeps one source's first place from outweighing agreement; the value of the paper, section 2."""
DOUBTFUL_SHARE = 0.1
"""Share of its weight that a source has for finds that it does not itself take to be relevant. Every vector
has a nearest neighbour and every word some text: counted in full, the best of nothing weighs as much
as the best of all. Measured by `python -m benchmarks.fusion`."""


@dataclass(frozen=True, slots=True)
class WeightedRanking:
    """The finds of one source.

    Attributes:
        source: its name.
        weight: how much it counts, >= 0; 0 leaves it out.
        ids: best first, each id once.
        sure: how many of them, from the first, the source takes to be relevant; None: all.
        silent: ids of which this source has nothing to compare, such as pictures without a prompt.
            They count here as they do on the weighted mean of the other sources that are silent on
            some. None for a source that only adds to what it finds, such as words.
    """

    source: str
    weight: float
    ids: Sequence[int]
    sure: int | None = None
    silent: Collection[int] | None = None

    @property
    def shares(self) -> dict[int, float]:
        """Return by id, in the order of the ranking, what it gets from a weight of 1."""
        sure = len(self.ids) if self.sure is None else self.sure
        return {
            id_: (1.0 if rank <= sure else DOUBTFUL_SHARE) / (RRF_K + rank)
            for rank, id_ in enumerate(self.ids, start=1)
        }


@dataclass(frozen=True, slots=True)
class Fused:
    """One thing that was found.

    Attributes:
        id: what was ranked.
        score: sum over the sources of weight / (RRF_K + rank), a doubtful find counting
            DOUBTFUL_SHARE of that and a silent source as the others do; higher is better.
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
    individual rank learning methods", SIGIR 2009; weights and doubt are ours.
    """
    for ranking in rankings:
        if not 0.0 <= ranking.weight < float("inf"):
            raise ValueError(f"The weight of {ranking.source} is {ranking.weight}.")
        if len(set(ranking.ids)) != len(ranking.ids):
            raise ValueError(f"{ranking.source} ranks something twice.")
    counted = [ranking for ranking in rankings if ranking.weight > 0.0]
    ranks: dict[int, dict[str, int]] = {}
    for ranking in counted:
        for rank, id_ in enumerate(ranking.ids, start=1):
            ranks.setdefault(id_, {})[ranking.source] = rank
    shares = [ranking.shares for ranking in counted]
    compared_weight = sum(each.weight for each in counted if each.silent is not None)
    fused = []
    for id_ in ranks:
        added = compared = heard_weight = 0.0
        for ranking, share in zip(counted, shares, strict=True):
            part = ranking.weight * share.get(id_, 0.0)
            if ranking.silent is None:
                added += part
            elif id_ not in ranking.silent:
                compared += part
                heard_weight += ranking.weight
        if heard_weight:
            added += compared * (compared_weight / heard_weight)
        fused.append(Fused(id_, added, ranks[id_]))
    fused.sort(key=lambda found: (-found.score, found.id))
    return fused
