"""Indexes of vectors: list, read and rebuild them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import url_for

from mirada.db import spaces
from mirada.embedding.index_rebuild import REBUILD_INDEX
from mirada.embedding.live_recall import LiveRecall, Recall, live_recall
from mirada.jobs import ledger
from mirada.ports import IndexStatus
from webapp.callers.auth import current_caller, require_administrator, require_user
from webapp.http.creations import queued
from webapp.http.current import current_runtime, request_id
from webapp.http.rest import ApiBlueprint, header
from webapp.schemas.jobs import JOB_EXAMPLE, JobSchema
from webapp.schemas.replies import ReplySchema, list_of

INDEX_EXAMPLE = {
    "id": 1,
    "space": "image:ViT-B-32:laion2b_s34b_b79k:openclip-224-bicubic-v1",
    "kind": "image",
    "dimension": 512,
    "state": "active",
    "backend": "faiss",
    "change_seq": 312,
    "live_count": 312,
    "dead_count": 0,
    "delta_count": 12,
    "snapshot": "s1-300-8f2c",
    "snapshot_change_seq": 300,
    "structure": "hnsw",
    "parameters": {"hnsw_m": 32, "ef_construction": 128, "ef_search": 96},
    "recall": {"recall_at_10": 0.991},
    "ways": [
        {
            "form": "text",
            "way": "hnsw",
            "is_in_use": True,
            "reason": None,
            "setting": 128,
            "factor": 1,
            "recall": 0.993,
            "recall_at_least": 0.984,
            "probes": 128,
            "live": {
                "queries": 412,
                "recall": 0.991,
                "at_least": 0.981,
                "at_most": 0.996,
                "by_share": {
                    "all": {"queries": 412, "recall": 0.991, "at_least": 0.981, "at_most": 0.996}
                },
            },
        }
    ],
    "planning": {
        "first_ways": {"text": {"exact": 0, "quantised": 21_000, "hnsw": 64_000}},
        "costs_us": {"scanned_row": 0.08, "quantised_row": 0.006, "beam_step": 6.0},
    },
    "url": "/api/v1/indexes/1",
}


def _of_everybody() -> ma.fields.Integer:
    return ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "Private pictures included, so null unless an administrator asks."
        },
    )


class RecallSchema(ReplySchema):
    """Recall@10 of live searches that a worker repeated exactly: RECALL_SAMPLE of all."""

    queries = ma.fields.Integer(required=True)
    recall = ma.fields.Float(required=True)
    at_least = ma.fields.Float(
        required=True, metadata={"description": "The true recall is lower 5 times in 100."}
    )
    at_most = ma.fields.Float(
        required=True, metadata={"description": "The true recall is higher 5 times in 100."}
    )


class LiveRecallSchema(RecallSchema):
    """The same of all live searches of one form and way, and by how much they were allowed to find."""

    by_share = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Nested(RecallSchema),
        required=True,
        metadata={
            "description": "By the permitted share of what is there: `all`, `10-99 %`, `1-10 %`, "
            "`below 1 %`."
        },
    )


class WaySchema(ReplySchema):
    """One way of searching for one form of query, as measured at the build and while serving."""

    form = ma.fields.String(
        required=True,
        metadata={
            "description": "`picture`, `blend` (a sum of several), or `text` among pictures."
        },
    )
    way = ma.fields.String(required=True, metadata={"description": "`quantised` or `hnsw`."})
    is_in_use = ma.fields.Boolean(required=True)
    reason = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Why it is left out."}
    )
    setting = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "For ten results: the beam of a walk through the graph, or how many "
            "candidates of a quantised scan are compared exactly."
        },
    )
    factor = ma.fields.Float(
        required=True,
        metadata={
            "description": "How many times wider it is searched, because live recall was low."
        },
    )
    recall = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Recall@10 of the build's probes."},
    )
    recall_at_least = ma.fields.Float(required=True, allow_none=True)
    probes = ma.fields.Integer(required=True)
    live = ma.fields.Nested(LiveRecallSchema, required=True, allow_none=True)


class IndexSchema(ReplySchema):
    """The index of one space in this process.

    Counts, snapshot and recall follow from all pictures, so only administrators are told.
    """

    id = ma.fields.Integer(required=True, metadata={"description": "The space's id."})
    space = ma.fields.String(required=True)
    kind = ma.fields.String(required=True)
    dimension = ma.fields.Integer(required=True)
    state = ma.fields.String(required=True)
    backend = ma.fields.String(required=True)
    change_seq = ma.fields.Integer(required=True)
    live_count = _of_everybody()
    dead_count = _of_everybody()
    delta_count = _of_everybody()
    snapshot = ma.fields.String(required=True, allow_none=True)
    snapshot_change_seq = ma.fields.Integer(required=True, allow_none=True)
    structure = ma.fields.String(
        required=True,
        metadata={
            "description": "Of the snapshot: `none`, `flat` (exact scans), `quantised` (the first stage "
            "of a build, in seconds), or `hnsw` (both, when the graph is built and proven)."
        },
    )
    parameters = ma.fields.Dict(required=True)
    recall = ma.fields.Dict(required=True)
    ways = ma.fields.List(
        ma.fields.Nested(WaySchema),
        required=True,
        metadata={
            "description": "Of the shorter ways than an exact scan; empty where there is none, and for "
            "all but administrators."
        },
    )
    planning = ma.fields.Dict(
        required=True,
        metadata={
            "description": "`first_ways`: by form, from how many permitted vectors on each way is tried "
            "first. `costs_us`: what it rests on, processor time of the parts of a search on this "
            "machine, in microseconds. Empty as `ways` is."
        },
    )
    url = ma.fields.String(required=True)


IndexListSchema = list_of(IndexSchema, "IndexList")


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
    """Its freshness and parameters; to administrators also its size and measured recall."""
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
        job = ledger.enqueue(
            session,
            REBUILD_INDEX,
            space_id=row.id,
            owner_id=user.id,
            request_id=request_id(),
        )
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
        return (
            body
            | dict.fromkeys(of_everybody)
            | {
                "recall": {},
                "ways": [],
                "planning": {},
            }
        )
    return (
        body
        | of_everybody
        | {
            "recall": dict(status.recall),
            "ways": _ways(space.id, status),
            "planning": dict(status.planning),
        }
    )


def _ways(space_id: int, status: IndexStatus) -> list[dict[str, Any]]:
    """Return the fields for each `WaySchema`."""
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
