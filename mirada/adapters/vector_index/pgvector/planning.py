"""The choice between comparing every permitted vector and a walk through pgvector's graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mirada.kernel.intervals import wilson_low
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.kernel.ways import MEASURED, Trust, WayStatus

EXACT_ROWS = 20_000
"""So many permitted vectors are always compared, every one: 10 to 40 ms on one core."""
MOST_EF_SEARCH = 1_000
"""pgvector takes no wider beam."""
ROWS_PER_BEAM_STEP = 25
"""One more in the beam costs a walk as much time as this many rows cost a scan: 12 us / 0.5 us."""
RECALL_RANK = 10
"""Beams are measured by the recall among the first ten; deeper ranks need them wider in proportion."""


def beam(
    graph: Mapping[str, Any] | None,
    form: QueryForm,
    k: int,
    permitted: int,
    live: int,
    exact_rows: int = EXACT_ROWS,
    trust: Trust = MEASURED,
) -> int | None:
    """Return the beam to walk with; None says compare every permitted vector.

    Args:
        graph: as `building` describes it; None where there is none.
        form: of the query.
        k: matches wanted, >= 1.
        permitted: how many vectors the caller may get.
        live: vectors in the graph.
        exact_rows: up to how many permitted ones are always compared.
        trust: what serving has shown of the walks.
    """
    measured: int | None = None if graph is None else graph["ef_search"].get(form.value)
    if measured is None or permitted <= exact_rows or (form, SearchWay.HNSW) in trust.left_out:
        return None
    measured = math.ceil(measured * trust.factor(form, SearchWay.HNSW))
    # The walk meets permitted and forbidden rows alike, nearest first, and goes on until it has k.
    expected_rank = min(k, permitted) * max(live, permitted) / permitted
    width = math.ceil(measured * max(1.0, expected_rank / RECALL_RANK))
    if width > MOST_EF_SEARCH or width * ROWS_PER_BEAM_STEP > permitted:
        return None
    return width


def ways(graph: Mapping[str, Any] | None, trust: Trust) -> tuple[WayStatus, ...]:
    """Return the state of the walk for each form of query; nothing where there is no graph."""
    return () if graph is None else tuple(_way(graph, form, trust) for form in QueryForm)


def _way(graph: Mapping[str, Any], form: QueryForm, trust: Trust) -> WayStatus:
    setting = graph["ef_search"].get(form.value)
    reason = trust.left_out.get((form, SearchWay.HNSW))
    if setting is None:
        reason = f"No beam up to {MOST_EF_SEARCH} reached the recall target."
    recall = graph["recall"]["at_ef_search"].get(form.value)
    probes = graph["recall"]["forms"].get(form.value, {}).get("queries", 0)
    neighbours = RECALL_RANK * probes
    return WayStatus(
        form,
        SearchWay.HNSW,
        is_in_use=reason is None,
        reason=reason,
        setting=setting,
        recall=recall,
        recall_at_least=None
        if recall is None
        else wilson_low(round(recall * neighbours), neighbours),
        probes=probes,
        factor=trust.factor(form, SearchWay.HNSW),
    )
