"""The beam or depth each form of query needs, measured against exact answers, with its uncertainty."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from mirada.adapters.vector_index.faiss.block import VectorBlock
from mirada.adapters.vector_index.faiss.planning import DEEP_RANK, RECALL_RANK, WIDENING, WaySetting
from mirada.adapters.vector_index.faiss.probing import Probes, Sides
from mirada.adapters.vector_index.faiss.quantised import QuantisedForm, chance_missed
from mirada.kernel.intervals import wilson_low
from mirada.kernel.similarity import QueryForm, SearchWay

logger = logging.getLogger(__name__)

BEAMS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)
DEPTHS = (30, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1_200, 1_600, 2_400, 3_200)
USUAL_DEPTH = 800
"""Deeper ones are looked at where none of these is enough: a deep scan costs three times as much."""
TOLERANCES = (0.5, 0.25, 0.1, 0.03)
"""Shares of what the target lets be missed: a scan may be trusted with so much doubt."""
SPREAD_ROWS, SPREAD_QUERIES = 2_000, 16
TRUSTED_SHARE = 0.95
"""So many of a form's queries must be answered at its depth; the others are scanned deeper."""
TIE = 1e-6
"""Of two neighbours that are equally near within rounding, either one is right."""

Heard = Callable[[], None]
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


def measured_scans(
    form: QuantisedForm,
    vectors: VectorBlock,
    groups: Sequence[Probes],
    sides: Sides,
    target: float,
    heard: Heard,
) -> list[WaySetting]:
    """Return for each form of query the depths of a quantised scan, and how far it is trusted.

    A depth is the least at which most queries asked of all rows are answered without much doubt. How
    much is too much is measured also on probes asked of rows far from them, whose best ones hardly
    stand out: what is trusted of either has to be right.
    """
    settings = []
    spread = _spread(form, vectors, groups[0].queries[:SPREAD_QUERIES])
    for kind in dict.fromkeys(group.form for group in groups):
        mine = [group for group in groups if group.form is kind]
        for deepest in (USUAL_DEPTH, DEPTHS[-1]):
            depths = sorted({min(depth, len(form)) for depth in DEPTHS if depth <= deepest})
            scans: tuple[list[_Scan], list[_Scan]] = ([], [])
            for group in mine:
                scans[group.is_far].extend(_scans(form, vectors, group, sides, depths[-1]))
                heard()
            chosen = _chosen(kind, scans, depths, target, spread)
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


def _spread(form: QuantisedForm, vectors: VectorBlock, queries: Numbers) -> float:
    """Return the standard deviation of the errors of estimates, of rows drawn at random."""
    rng = np.random.default_rng(len(form) + 2)
    drawn = np.zeros(len(form), bool)
    drawn[rng.integers(0, len(form), SPREAD_ROWS)] = True
    selector = faiss.IDSelectorBitmap(np.packbits(drawn, bitorder="little"))
    errors = []
    for query in queries:
        found = form.candidates(query, int(np.count_nonzero(drawn)), selector)
        errors.append(found.estimates - vectors.inner_products(query, found.rows))
    return max(float(np.std(np.concatenate(errors))), 1e-6)


def _chosen(
    form: QueryForm,
    scans: tuple[list[_Scan], list[_Scan]],
    depths: list[int],
    target: float,
    spread: float,
) -> WaySetting:
    near, far = scans
    tried = WaySetting(form, SearchWay.QUANTISED, None, spread=round(spread, 5), probes=len(near))
    most = near[0].truth.size
    ranks = [k for k in (RECALL_RANK, DEEP_RANK) if k <= most] or [most]
    for share in TOLERANCES:
        doubt = share * (1.0 - target)
        chosen = [_least_depth(near, depths, k, (spread, doubt)) for k in ranks]
        first, deep = chosen[0], chosen[-1] or depths[-1]
        if first is None:
            break
        hits = sum(_hits(scan, depths, first, ranks[0], (spread, doubt)) for scan in near)
        tried = _judged(tried, hits, ranks[0] * len(near), target)
        if tried.reason is None and _is_right(far, depths, ranks, (spread, doubt), target):
            return replace(
                tried, setting=first, deep_setting=max(deep, first), tolerance=round(doubt, 6)
            )
    reason = tried.reason or f"no depth up to {depths[-1]} lets its best candidates stand out"
    return replace(tried, reason=reason)


def _is_right(
    scans: list[_Scan],
    depths: list[int],
    ranks: list[int],
    limits: tuple[float, float],
    target: float,
) -> bool:
    """Return whether scans of rows far away find enough wherever they are trusted, at each depth."""
    for k in ranks:
        for depth in depths:
            seen = (scan.at(depth, k, limits[0]) for scan in scans)
            trusted = [hits / k for hits, doubt in seen if doubt <= limits[1]]
            if trusted and np.mean(trusted) < target:
                return False
    return True


def _least_depth(
    scans: list[_Scan], depths: list[int], k: int, limits: tuple[float, float]
) -> int | None:
    for depth in depths:
        trusted = sum(scan.at(depth, k, limits[0])[1] <= limits[1] for scan in scans)
        if depth >= k and trusted >= TRUSTED_SHARE * len(scans):
            return depth
    return None


def _hits(scan: _Scan, depths: list[int], depth: int, k: int, limits: tuple[float, float]) -> int:
    """Return what the whole way finds: deeper where it must, exact in the end."""
    for deeper in (depth, depth * WIDENING, depth * WIDENING**2):
        if deeper > depths[-1]:
            break
        hits, doubt = scan.at(deeper, k, limits[0])
        if doubt <= limits[1]:
            return hits
    return k
