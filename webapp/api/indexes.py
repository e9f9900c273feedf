"""Indexes of vectors: list, read and rebuild them."""

from __future__ import annotations

from typing import Any

from flask import url_for

from mirada.db import spaces
from mirada.embedding.index_advice import advice_on, days_of
from mirada.embedding.index_rebuild import request_rebuild
from mirada.embedding.live_recall import LiveRecall, Recall, live_recall
from mirada.language_model.usage import day_name
from mirada.ports import IndexStatus
from webapp.callers.auth import current_caller, require_administrator, require_user
from webapp.http.creations import queued
from webapp.http.current import current_runtime, request_id
from webapp.http.rest import ApiBlueprint, header
from webapp.schemas.indexes import INDEX_EXAMPLE, IndexListSchema, IndexSchema
from webapp.schemas.jobs import JOB_EXAMPLE, JobSchema

blueprint = ApiBlueprint(
    "indexes", __name__, url_prefix="/api/v1/indexes", description="What searches run on"
)
SPACE_PARAMETER = {
    "in": "path",
    "name": "space",
    "required": True,
    "description": "A space's id or name, or `image` or `prompt` for those in use.",
    "schema": {"type": "string"},
    "example": "image",
}


@blueprint.get("")
@blueprint.operation("listIndexes", "List indexes")
@blueprint.response(200, IndexListSchema, example={"results": [INDEX_EXAMPLE], "count": 1})
def list_indexes() -> Any:
    """None before the first run has chosen an encoder."""
    require_user()
    with current_runtime().reading() as session:
        in_use = spaces.searched_spaces(session)
    return {"results": [_body(space) for space in in_use], "count": len(in_use)}


@blueprint.get("/<space>", parameters=[SPACE_PARAMETER])
@blueprint.operation("getIndex", "Read an index", refusals=(404,))
@blueprint.response(200, IndexSchema, example=INDEX_EXAMPLE)
def get_index(space: str) -> Any:
    """Its freshness and parameters; to administrators also size, recall, the last 30 days and advice."""
    require_user()
    with current_runtime().reading() as session:
        row = spaces.space_by_name(session, space)
    return _body(row)


@blueprint.post("/<space>/rebuild", parameters=[SPACE_PARAMETER])
@blueprint.operation("rebuildIndex", "Build an index anew", refusals=(403, 404))
@blueprint.response(
    202, JobSchema, example=JOB_EXAMPLE, headers={"Location": header("The job to follow.")}
)
def rebuild_index(space: str) -> Any:
    """From the database, by a worker; searches go on meanwhile. For administrators."""
    user = require_administrator()
    with current_runtime().transaction() as session:
        row = spaces.space_by_name(session, space)
        job = request_rebuild(session, row.id, owner_id=user.id, request_id=request_id())
    return queued(job.id, job.kind, user)


def _body(space: Any) -> dict[str, Any]:
    """Return the fields for `IndexSchema`."""
    status = current_runtime().index(space.id).status()
    body = {
        "id": space.id,
        "space": space.name,
        "kind": space.kind,
        "dimension": space.dimension,
        "state": str(space.state),
        "backend": status.backend,
        "change_seq": status.change_seq,
        "structure": status.kind,
        "parameters": dict(status.parameters),
        "url": url_for("indexes.get_index", space=space.id),
    }
    of_everybody = {
        "live_count": status.live_count,
        "dead_count": status.dead_count,
        "delta_count": status.delta_count,
        "snapshot": status.snapshot,
        "snapshot_change_seq": status.snapshot_change_seq,
    }
    if not current_caller().is_administrator:
        nothing: dict[str, Any] = {
            "recall": {},
            "ways": [],
            "planning": {},
            "history": [],
            "advice": [],
        }
        return body | dict.fromkeys(of_everybody) | nothing
    return body | of_everybody | _measured(space.id, status)


def _measured(space_id: int, status: IndexStatus) -> dict[str, Any]:
    """Return the fields for `IndexSchema` that follow from what was measured."""
    return {
        "recall": dict(status.recall),
        "ways": _ways(space_id, status),
        "planning": dict(status.planning),
        "history": _history(space_id),
        "advice": advice_on(current_runtime(), space_id, status),
    }


def _history(space_id: int) -> list[dict[str, Any]]:
    """Return the fields for each `IndexDaySchema`."""
    return [
        {
            "day": day_name(each.utc_day),
            "size": each.size,
            "recall": each.recall,
            "queries": each.queries,
        }
        for each in days_of(current_runtime(), space_id)
    ]


def _ways(space_id: int, status: IndexStatus) -> list[dict[str, Any]]:
    """Return the fields for each `MeasuredWaySchema`."""
    with current_runtime().reading() as session:
        measured = live_recall(session, space_id, status.measured_on)
    live = {(each.form, each.way): each for each in measured}
    return [
        {
            "form": way.form.value,
            "way": way.way.value,
            "is_in_use": way.is_in_use,
            "reason": way.reason,
            "setting": way.setting,
            "factor": way.factor,
            "recall": way.recall,
            "recall_at_least": way.recall_at_least,
            "probes": way.probes,
            "live": _live(live.get((way.form, way.way))),
        }
        for way in status.ways
    ]


def _live(recall: LiveRecall | None) -> dict[str, Any] | None:
    if recall is None:
        return None
    by_share = {share.value: _recall(each) for share, each in recall.by_share.items()}
    return _recall(recall.whole) | {"by_share": by_share}


def _recall(recall: Recall) -> dict[str, Any]:
    return {
        "queries": recall.queries,
        "recall": recall.share,
        "at_least": recall.at_least,
        "at_most": recall.at_most,
    }
