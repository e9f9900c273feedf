"""Figures of rankings: recall@10 and nDCG@10 of each query, and their means with intervals.

Good and bad are a person's verdicts; a picture that nobody judged counts as not good. Of k = 10:

- recall@10 = (good pictures among the first 10) / min(10, good pictures): 1 where the first 10 hold
  all that they can. With up to 10 good pictures it is the usual recall. Source: the capped recall of
  Thakur et al., "BEIR" (NeurIPS 2021), section 4.
- nDCG@10 = DCG / ideal DCG. DCG is the sum of 1 / log2(1 + place) over the good pictures among the
  first 10; ideal is that of a ranking with all good pictures in front. Source: Järvelin and
  Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20 (2002). Gains are 0
  and 1, and the discount begins at the first place, as is usual today.
- nDCG@10 of judged pictures is the same over a ranking of the judged pictures alone. It does not
  punish a model for finding good pictures that nobody has judged yet. Source: Sakai, "Alternatives to
  bpref" (SIGIR 2007).

Means are over queries, each with the same weight, and every interval is of 95 %. Queries stand for
those that people ask: an interval says how far the mean may lie off for other queries of their kind.
That of recall is Wilson's; that of an nDCG, and of a difference between two models, is Student's. See
`mirada.kernel.intervals`, also for why Wilson's fits values between 0 and 1, and for what stands in
where there is one query or all are alike.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from mirada.kernel.intervals import Estimate, mean_estimate, wilson_estimate

K = 10
"""Places of a ranking that are looked at."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The judged pictures of one query that can be found, by content id; no picture is both.

    Attributes:
        good: those that belong among the results.
        bad: those that do not.
    """

    good: frozenset[int]
    bad: frozenset[int]


@dataclass(frozen=True, slots=True)
class QueryFigures:
    """The figures of one query that has a good picture.

    Attributes:
        recall: recall@10, in [0, 1].
        ndcg: nDCG@10, in [0, 1].
        ndcg_of_judged: nDCG@10 of judged pictures, in [0, 1]; None where none is bad.
        good: good pictures that can be found, >= 1.
        bad: bad ones.
        good_shown: good pictures among the first 10.
        bad_shown: bad ones.
        shown: how many pictures are in the first 10 places, at most 10.
    """

    recall: float
    ndcg: float
    ndcg_of_judged: float | None
    good: int
    bad: int
    good_shown: int
    bad_shown: int
    shown: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over queries.

    Attributes:
        queries: how many have a good picture and so count.
        recall: of recall@10.
        ndcg: of nDCG@10.
        ndcg_of_judged: of nDCG@10 of judged pictures; None where no query has a bad picture.
        bad_share: bad pictures' share of all places that were looked at, in [0, 1].
        judged_share: judged pictures' share of them: the lower it is, the less is known of the rest.
    """

    queries: int
    recall: Estimate
    ndcg: Estimate
    ndcg_of_judged: Estimate | None
    bad_share: float
    judged_share: float


def query_figures(ranking: Sequence[int], of_judged: Sequence[int], judged: Judged) -> QueryFigures:
    """Return the figures of one query.

    Args:
        ranking: contents, best first; the first 10 are looked at.
        of_judged: all judged contents, best first.
        judged: which are good and bad; at least one is good.
    """
    first = ranking[:K]
    good_shown = sum(content in judged.good for content in first)
    return QueryFigures(
        recall=good_shown / min(K, len(judged.good)),
        ndcg=ndcg(first, judged.good),
        ndcg_of_judged=ndcg(of_judged, judged.good) if judged.bad else None,
        good=len(judged.good),
        bad=len(judged.bad),
        good_shown=good_shown,
        bad_shown=sum(content in judged.bad for content in first),
        shown=len(first),
    )


def ndcg(ranking: Sequence[int], good: Collection[int]) -> float:
    """Return nDCG@10 in [0, 1] of a ranking without repetitions; at least one thing is good."""
    ideal = math.fsum(_discount(place) for place in range(1, min(K, len(good)) + 1))
    places = (place for place, content in enumerate(ranking[:K], 1) if content in good)
    return math.fsum(_discount(place) for place in places) / ideal


def means(of_queries: Sequence[QueryFigures]) -> Figures | None:
    """Return the means of some queries; None for none."""
    if not of_queries:
        return None
    of_judged = [each.ndcg_of_judged for each in of_queries if each.ndcg_of_judged is not None]
    places = max(sum(each.shown for each in of_queries), 1)
    bad = sum(each.bad_shown for each in of_queries)
    return Figures(
        queries=len(of_queries),
        recall=wilson_estimate([each.recall for each in of_queries]),
        ndcg=mean_estimate([each.ndcg for each in of_queries], 0, 1),
        ndcg_of_judged=mean_estimate(of_judged, 0, 1) if of_judged else None,
        bad_share=bad / places,
        judged_share=(bad + sum(each.good_shown for each in of_queries)) / places,
    )


def mean_change(pairs: Iterable[tuple[float, float]]) -> Estimate:
    """Return the mean of after - before over the same queries, with Student's interval in [-1, 1].

    Queries are paired: that some are hard for both models does not widen the interval.

    Args:
        pairs: (before, after) of at least one query, each in [0, 1].
    """
    return mean_estimate([after - before for before, after in pairs], -1, 1)


def _discount(place: int) -> float:
    return 1 / math.log2(1 + place)
