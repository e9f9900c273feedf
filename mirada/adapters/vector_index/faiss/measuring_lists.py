"""How many of the nearest lists IVF has to look at, and how deep, measured on scans of all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mirada.adapters.vector_index.faiss.planning import DEEP_RANK, RECALL_RANK, Costs, WaySetting
from mirada.adapters.vector_index.faiss.scanned import TIE, Numbers, Scan, judged
from mirada.kernel.intervals import wilson_low
from mirada.kernel.similarity import QueryForm, SearchWay

SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0)
"""Of the lists."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that ways over the quantised form have to keep to.

    Attributes:
        target: least recall that has to be shown with 95 % confidence, in (0, 1].
        rows: of the snapshot.
        costs: of this machine.
    """

    target: float
    rows: int
    costs: Costs


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the lists, with the depth at which it finds enough of the k nearest.

    Attributes:
        share: of the lists.
        depth: candidates.
        hits: of the true nearest of all probes, found.
    """

    share: float
    depth: int
    hits: int


def measured_lists(
    form: QueryForm, scans: Sequence[Scan], lists: int, depths: list[int], limits: Limits
) -> WaySetting:
    """Return the cheapest part of the lists that shows the target, for ten results and for a hundred.

    Args:
        form: of the queries.
        scans: of all lists, asked of all rows; at least one.
        lists: how many there are.
        depths: rising, as deep as the scans at most.
        limits: what has to be shown, and costs by which parts are compared.
    """
    tried = WaySetting(form, SearchWay.IVF, None, probes=len(scans))
    most = scans[0].truth.size
    first = _cheapest(scans, lists, depths, min(RECALL_RANK, most), limits)
    tried = judged(tried, first.hits, min(RECALL_RANK, most) * len(scans), limits.target)
    if tried.reason is not None:
        return tried
    settled = replace(tried, setting=first.depth, lists=_one_more(first.share))
    if most < DEEP_RANK:
        return settled
    deep = _cheapest(scans, lists, depths, DEEP_RANK, limits)
    if wilson_low(deep.hits, DEEP_RANK * len(scans)) < limits.target:
        return settled
    return replace(
        settled,
        deep_setting=max(deep.depth, first.depth),
        deep_lists=_one_more(max(deep.share, first.share)),
    )


def _one_more(share: float) -> float:
    """Return the next larger share: people's queries are not the probes."""
    return SHARES[min(SHARES.index(share) + 1, len(SHARES) - 1)]


def _cheapest(
    scans: Sequence[Scan], lists: int, depths: list[int], k: int, limits: Limits
) -> _Part:
    """Return the cheapest part that shows the target; the one that finds most where none does."""
    rows = len(scans) * k
    best, best_cost = _Part(1.0, depths[-1], 0), math.inf
    for share in SHARES:
        counts = [_hits(scan, math.ceil(share * lists), depths, k) for scan in scans]
        hits = np.sum(counts, axis=0)
        enough = [wilson_low(int(found), rows) >= limits.target for found in hits]
        if not any(enough):
            if best_cost == math.inf:
                best = max(best, _Part(share, depths[-1], int(hits[-1])), key=lambda one: one.hits)
            continue
        at = enough.index(True)
        cost = limits.costs.of_scan(share * limits.rows, depths[at])
        if cost < best_cost:
            best, best_cost = _Part(share, depths[at], int(hits[at])), cost
    return best


def _hits(scan: Scan, lists: int, depths: list[int], k: int) -> Numbers:
    """Return how many of the true k nearest so many lists bring up at each depth, (len(depths),)."""
    looked_at = scan.exact[scan.list_ranks < lists]
    found = np.cumsum(looked_at >= scan.truth[k - 1] - TIE)
    if not found.size:
        return np.zeros(len(depths), np.int64)
    places = np.minimum(depths, found.size) - 1
    return np.asarray(np.minimum(found[places], k))
