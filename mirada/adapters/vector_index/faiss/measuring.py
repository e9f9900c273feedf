"""The beam or depth each form of query needs, measured against exact answers, with its uncertainty."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import faiss
import numpy as np

from mirada.adapters.vector_index.faiss.block import VectorBlock
from mirada.adapters.vector_index.faiss.measuring_lists import Limits, measured_lists
from mirada.adapters.vector_index.faiss.planning import DEEP_RANK, RECALL_RANK, WIDENING, WaySetting
from mirada.adapters.vector_index.faiss.probing import Probes, Sides
from mirada.adapters.vector_index.faiss.quantised import QuantisedForm
from mirada.adapters.vector_index.faiss.scanned import Numbers, Scan, by_similarity, judged
from mirada.kernel.similarity import QueryForm, SearchWay

logger = logging.getLogger(__name__)

BEAMS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)
DEPTHS = (30, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1_200, 1_600, 2_400, 3_200)
USUAL_DEPTH = 800
"""Deeper ones are looked at where none of these is enough: a deep scan costs three times as much."""
TOLERANCES = (4.0, 2.0, 1.0, 0.5, 0.25, 0.1, 0.03)
"""Parts of what the target lets be missed: a scan may be trusted with so much doubt. At a million rows
doubt is ten times what is missed, so the largest that the probes show to be right is taken."""
SPREAD_ROWS, SPREAD_QUERIES = 2_000, 16
TRUSTED_SHARE = 0.95
"""So many of a form's queries must be answered at its depth; the others are scanned deeper."""

Heard = Callable[[], None]


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
            tried = replace(judged(tried, hits, k * len(group.queries), target), setting=beam)
            # One step more than its probes need, since people's queries are not these.
            if was_enough:
                break
        settings.append(tried)
    return for_every_form(settings)


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


def measured_scans(
    form: QuantisedForm,
    vectors: VectorBlock,
    groups: Sequence[Probes],
    sides: Sides,
    limits: Limits,
    heard: Heard,
) -> list[WaySetting]:
    """Return for each form of query the depths of a quantised scan, how far it is trusted, and IVF's.

    A depth is the least at which most queries asked of all rows are answered without much doubt. How
    much is too much is measured also on probes asked of rows far from them, whose best ones hardly
    stand out: what is trusted of either has to be right.
    """
    whole, parts = [], []
    spread = _spread(form, vectors, groups[0].queries[:SPREAD_QUERIES])
    list_of = form.list_of_rows()
    for kind in dict.fromkeys(group.form for group in groups):
        mine = [group for group in groups if group.form is kind]
        for deepest in (USUAL_DEPTH, DEPTHS[-1]):
            depths = sorted({min(depth, len(form)) for depth in DEPTHS if depth <= deepest})
            scans: tuple[list[Scan], list[Scan]] = ([], [])
            for group in mine:
                scans[group.is_far].extend(_scans(form, vectors, group, sides, list_of, depths[-1]))
                heard()
            chosen = _chosen(kind, scans, depths, limits.target, spread)
            lists = measured_lists(kind, scans[0], form.lists, depths, limits)
            if depths[-1] == len(form) or (chosen.reason is None and lists.reason is None):
                break
        whole.append(chosen)
        parts.append(lists)
    # With one list a part is the whole.
    return for_every_form(whole) + (for_every_form(parts) if form.lists > 1 else [])


def _scans(
    form: QuantisedForm,
    vectors: VectorBlock,
    group: Probes,
    sides: Sides,
    list_of: Numbers,
    depth: int,
) -> Iterator[Scan]:
    bits = [np.packbits(side, bitorder="little") for side in (~sides, sides)]
    selectors = [faiss.IDSelectorBitmap(each) for each in bits]
    for query, side, truth in zip(group.queries, group.sides, group.scores, strict=True):
        found = form.candidates(query, depth, selectors[side] if side >= 0 else None)
        exact = vectors.inner_products(query, found.rows)
        ranks = form.ranks_of_lists(query)[list_of[found.rows]]
        yield Scan(exact, found.estimates, truth, found.is_everything, ranks)


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
    scans: tuple[list[Scan], list[Scan]],
    depths: list[int],
    target: float,
    spread: float,
) -> WaySetting:
    near = scans[0]
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
        tried = judged(tried, hits, ranks[0] * len(near), target)
        used = [(k, least or deep) for k, least in zip(ranks, chosen, strict=True)]
        if tried.reason is None and all(
            _is_right(scans_of, depths, used, (spread, doubt), target) for scans_of in scans
        ):
            return replace(
                tried, setting=first, deep_setting=max(deep, first), tolerance=round(doubt, 6)
            )
    reason = tried.reason or f"no depth up to {depths[-1]} lets its best candidates stand out"
    return replace(tried, reason=reason)


def _is_right(
    scans: list[Scan],
    depths: list[int],
    used: list[tuple[int, int]],
    limits: tuple[float, float],
    target: float,
) -> bool:
    """Return whether scans find enough of the k nearest wherever they are trusted.

    Args:
        scans: of one kind.
        depths: rising.
        used: (k, least depth at which so many are looked for).
        limits: spread, and the doubt up to which a scan is trusted.
        target: least recall.
    """
    for k, least in used:
        for depth in (depth for depth in depths if depth >= least):
            seen = (scan.at(depth, k, limits[0]) for scan in scans)
            trusted = [hits / k for hits, doubt in seen if doubt <= limits[1]]
            if trusted and np.mean(trusted) < target:
                return False
    return True


def _least_depth(
    scans: list[Scan], depths: list[int], k: int, limits: tuple[float, float]
) -> int | None:
    for depth in depths:
        trusted = sum(scan.at(depth, k, limits[0])[1] <= limits[1] for scan in scans)
        if depth >= k and trusted >= TRUSTED_SHARE * len(scans):
            return depth
    return None


def _hits(scan: Scan, depths: list[int], depth: int, k: int, limits: tuple[float, float]) -> int:
    """Return what the whole way finds: deeper where it must, exact in the end."""
    for deeper in (depth, depth * WIDENING, depth * WIDENING**2):
        if deeper > depths[-1]:
            break
        hits, doubt = scan.at(deeper, k, limits[0])
        if doubt <= limits[1]:
            return hits
    return k
