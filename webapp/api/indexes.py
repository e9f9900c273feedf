"""Indexes of vectors: list, read and rebuild them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import url_for

from mirada.db import spaces
from mirada.embedding.index_rebuild import REBUILD_INDEX
from mirada.jobs import ledger
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
    structure = ma.fields.String(required=True)
    parameters = ma.fields.Dict(required=True)
    recall = ma.fields.Dict(required=True)
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
    if current_caller().is_administrator:
        return body | of_everybody | {"recall": dict(status.recall)}
    return body | dict.fromkeys(of_everybody) | {"recall": {}}
