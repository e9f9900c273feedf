"""The state of a view, as `GET /api/v1/indexes` and the metrics show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mirada.adapters.vector_index.faiss.view import View
from mirada.kernel.ways import Trust
from mirada.ports import IndexStatus


def status_of(view: View) -> IndexStatus:
    """Return what is served, what was measured of it, and which ways are in use."""
    base = view.base.base if view.base is not None else None
    manifest = base.record.manifest if base else {}
    planner = view.planner
    return IndexStatus(
        backend="faiss",
        change_seq=view.change_seq,
        live_count=view.visible_count + view.delta.live_count,
        dead_count=base.ids.size - view.visible_count if base else 0,
        delta_count=view.delta.live_count,
        snapshot=base.record.name if base else None,
        snapshot_change_seq=base.record.change_seq if base else None,
        kind=str(manifest.get("kind", "none")),
        parameters=manifest.get("parameters", {}),
        recall=manifest.get("recall", {}),
        snapshot_created_at=base.record.created_at if base else None,
        ways=tuple(one.status(view.trust) for one in planner.settings) if planner else (),
        planning=view.planning,
    )


def with_trust(view: View, trust: Trust, before: View | None) -> View:
    """Return the same view, planned by what serving has taught.

    Args:
        view: any.
        trust: the lesson.
        before: the view it takes the place of; what did not change is not worked out again.
    """
    planner = view.planner
    planning: Mapping[str, Any] = {}
    if before is not None and (before.planner, before.trust) == (planner, trust):
        planning = before.planning
    elif planner is not None and planner.settings:
        planning = {
            "costs_us": planner.costs.as_dict(),
            "first_ways": planner.crossings(trust, view.exact_rows),
        }
    return replace(view, trust=trust, planning=planning)
