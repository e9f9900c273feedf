"""The beam or depth each form of query needs, measured against exact answers, with its uncertainty."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from mirada.adapters.vector_index.faiss.block import VectorBlock
from mirada.adapters.vector_index.faiss.planning import DEEP_RANK, RECALL_RANK, WIDENING, WaySetting
from mirada.adapters.vector_index.faiss.probing import Probes, Sides
from mirada.adapters.vector_index.faiss.quantised import QuantisedForm
from mirada.kernel.intervals import wilson_low
from mirada.kernel.similarity import QueryForm, SearchWay

logger = logging.getLogger(__name__)

BEAMS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)
DEPTHS = (30, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1_200, 1_600, 2_400, 3_200)
USUAL_DEPTH = 800
"""Deeper ones are looked at where none of these is enough: a deep scan costs three times as much."""
MARGIN_STEP, MARGINS = 0.12, 60
"""Steps of a margin, as a share of the spread of estimates: 1 / sqrt(d)."""
TRUSTED_SHARE = 0.95
"""So many of a form's queries must be answered at its depth; the others are scanned deeper."""
LEAST_SAMPLE = 20
"""Scans that ended equally close, fewer of which say nothing about the margin."""
TIE = 1e-6
"""Of two neighbours that are equally near within rounding, either one is right."""

Heard = Callable[[], None]
Wanted = tuple[float, float]
"""The recall that is to be shown, and the steps of margins."""
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


def measured_walks(
    graph: Any, groups: Sequence[Probes], target: float, heard: Heard
) -> list[WaySetting]:
    """Return for each form the smallest sufficient beam.

    Args:
        graph: an IndexHNSW.
        groups: with exact answers; the walk is measured on those asked of all rows.
        target: least recall@10 that has to be shown with 95 % confidence.
        heard: called after each beam; what it raises ends the measuring.
    """
    settings = []
    for group in (group for group in groups if not group.is_far):
        k = min(RECALL_RANK, group.scores.shape[1])
        tried = WaySetting(group.form, SearchWay.HNSW, None, probes=len(group.queries))
        for beam in BEAMS:
            walk = faiss.SearchParametersHNSW(efSearch=beam, bounded_queue=True)
            found, _ = graph.search(group.queries, k, params=walk)
            hits = sum(map(lambda s, e: by_similarity(s, e, k), found, group.scores))
            heard()
            was_enough = tried.probes and tried.recall is not None and tried.reason is None
            tried = replace(_judged(tried, hits, k * len(group.queries), target), setting=beam)
            # One step more than its probes need, since people's queries are not these.
            if was_enough:
                break
        settings.append(tried)
    return for_every_form(settings)


def _judged(one: WaySetting, hits: int, trials: int, target: float) -> WaySetting:
    low = wilson_low(hits, trials)
    reason = None
    if low < target:
        reason = f"its probes show a recall of {low:.3f} at least, below {target:g}"
    recall, low = round(hits / trials, 4), round(low, 4)
    return replace(one, recall=recall, recall_at_least=low, reason=reason)


def for_every_form(settings: list[WaySetting]) -> list[WaySetting]:
    """Add the setting of blends for a form without probes, and log every way that is left out."""
    known = {one.form: one for one in settings}
    for form in QueryForm:
        if form not in known:
            settings = [*settings, replace(known[QueryForm.BLEND], form=form, probes=0)]
    for one in settings:
        if one.reason is not None:
            logger.warning(
                "The %s way is left out for queries of form %s: %s", one.way, one.form, one.reason
            )
    return settings


@dataclass(frozen=True, slots=True)
class _Scan:
    """One probe's deepest scan, from which every shallower one follows.

    Attributes:
        exact: (c,) exact inner products of the candidates, best estimate first.
        estimates: (c,).
        truth: (m,) the exact answers'.
        is_everything: no permitted row is missing.
    """

    exact: Numbers
    estimates: Numbers
    truth: Numbers
    is_everything: bool

    def at(self, depth: int, k: int) -> tuple[int, float]:
        """Return how many of the true k a scan of that depth finds, and by how much it stands out."""
        exact = self.exact[:depth]
        hits = by_similarity(exact, self.truth, k)
        if exact.size < min(depth, k) or (self.is_everything and depth >= self.exact.size):
            return hits, np.inf
        if exact.size < k:
            return hits, -np.inf
        kth = np.partition(exact, exact.size - k)[exact.size - k]
        return hits, float(kth - self.estimates[exact.size - 1])


def measured_scans(
    form: QuantisedForm,
    vectors: VectorBlock,
    groups: Sequence[Probes],
    sides: Sides,
    target: float,
    heard: Heard,
) -> list[WaySetting]:
    """Return for each form of query the depths and the margin of a quantised scan.

    The margin is measured on all of a form's probes, also on those asked of rows far from them, whose
    best ones hardly stand out. A depth is the least at which most queries asked of all rows do.
    """
    settings = []
    for kind in dict.fromkeys(group.form for group in groups):
        mine = [group for group in groups if group.form is kind]
        for deepest in (USUAL_DEPTH, DEPTHS[-1]):
            depths = sorted({min(depth, len(form)) for depth in DEPTHS if depth <= deepest})
            scans: tuple[list[_Scan], list[_Scan]] = ([], [])
            for group in mine:
                scans[group.is_far].extend(_scans(form, vectors, group, sides, depths[-1]))
                heard()
            step = MARGIN_STEP / math.sqrt(group.queries.shape[1])
            chosen = _chosen(kind, *scans, depths, (target, step))
            if chosen.reason is None or depths[-1] == len(form):
                break
        settings.append(chosen)
    return for_every_form(settings)


def _scans(
    form: QuantisedForm, vectors: VectorBlock, group: Probes, sides: Sides, depth: int
) -> Iterator[_Scan]:
    bits = [np.packbits(side, bitorder="little") for side in (~sides, sides)]
    selectors = [faiss.IDSelectorBitmap(each) for each in bits]
    for query, side, truth in zip(group.queries, group.sides, group.scores, strict=True):
        found = form.candidates(query, depth, selectors[side] if side >= 0 else None)
        exact = vectors.inner_products(query, found.rows)
        yield _Scan(exact, found.estimates, truth, found.is_everything)


def _chosen(
    form: QueryForm, near: list[_Scan], far: list[_Scan], depths: list[int], wanted: Wanted
) -> WaySetting:
    target, margin_step = wanted
    tried = WaySetting(form, SearchWay.QUANTISED, None, probes=len(near))
    ranks = [k for k in (RECALL_RANK, DEEP_RANK) if k <= near[0].truth.size] or [near[0].truth.size]
    least = _least_margin(near + far, depths, ranks, wanted)
    for step in range(least, MARGINS):
        margin = step * margin_step
        chosen = [_least_depth(near, depths, k, margin) for k in ranks]
        if chosen[0] is None:
            break
        hits = sum(_hits(scan, depths, chosen[0], ranks[0], margin) for scan in near)
        tried = _judged(tried, hits, ranks[0] * len(near), target)
        if tried.reason is None:
            deep = chosen[-1] or depths[-1]
            return replace(
                tried, setting=chosen[0], deep_setting=max(deep, chosen[0]), margin=round(margin, 4)
            )
    reason = tried.reason or f"no depth up to {depths[-1]} lets its best candidates stand out"
    return replace(tried, reason=reason)


def _least_margin(scans: list[_Scan], depths: list[int], ranks: list[int], wanted: Wanted) -> int:
    """Return the number of steps from which on every scan that ends so far off is right enough."""
    target, margin_step = wanted
    found: dict[int, list[float]] = {}
    for scan in scans:
        for k in ranks:
            for depth in depths:
                hits, gap = scan.at(depth, k)
                if depth >= k and np.isfinite(gap) and gap >= 0:
                    found.setdefault(int(gap / margin_step), []).append(hits / k)
    wrong = [
        step
        for step, shares in found.items()
        if len(shares) >= LEAST_SAMPLE and np.mean(shares) < target
    ]
    return max(wrong, default=-1) + 1


def _least_depth(scans: list[_Scan], depths: list[int], k: int, margin: float) -> int | None:
    for depth in depths:
        trusted = sum(scan.at(depth, k)[1] >= margin for scan in scans)
        if depth >= k and trusted >= TRUSTED_SHARE * len(scans):
            return depth
    return None


def _hits(scan: _Scan, depths: list[int], depth: int | None, k: int, margin: float) -> int:
    """Return what the whole way finds: deeper where it must, exact in the end."""
    assert depth is not None
    for deeper in (depth, depth * WIDENING, depth * WIDENING**2):
        if deeper > depths[-1]:
            break
        hits, gap = scan.at(deeper, k)
        if gap >= margin:
            return hits
    return k
