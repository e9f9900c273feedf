"""Indexes of vectors: list, read and rebuild them."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView

from mirada.db import spaces
from mirada.embedding.index_rebuild import REBUILD_INDEX
from mirada.jobs import ledger
from webapp.callers.auth import current_caller, require_administrator, require_user
from webapp.http.creations import queued
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint, header
from webapp.http.tracing import request_id
from webapp.schemas.indexes import INDEX_EXAMPLE, IndexListSchema, IndexSchema, index_body
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


@blueprint.route("")
class Indexes(MethodView):
    """Every index."""

    @blueprint.operation("listIndexes", "List indexes")
    @blueprint.response(200, IndexListSchema, example={"results": [INDEX_EXAMPLE], "count": 1})
    def get(self) -> Any:
        """None before the first run has chosen an encoder."""
        require_user()
        with current_runtime().reading() as session:
            in_use = spaces.searched_spaces(session)
        bodies = [_body(space) for space in in_use]
        return {"results": bodies, "count": len(bodies)}


@blueprint.route("/<space>", parameters=[SPACE_PARAMETER])
class IndexItem(MethodView):
    """One index."""

    @blueprint.operation("getIndex", "Read an index", refusals=(404,))
    @blueprint.response(200, IndexSchema, example=INDEX_EXAMPLE)
    def get(self, space: str) -> Any:
        """Its freshness and parameters; to administrators also its size and measured recall."""
        require_user()
        with current_runtime().reading() as session:
            row = spaces.space_by_name(session, space)
        return _body(row)


@blueprint.route("/<space>/rebuild", parameters=[SPACE_PARAMETER])
class IndexRebuild(MethodView):
    """The rebuild of an index."""

    @blueprint.operation("rebuildIndex", "Build an index anew", refusals=(403, 404))
    @blueprint.response(
        202, JobSchema, example=JOB_EXAMPLE, headers={"Location": header("The job to follow.")}
    )
    def post(self, space: str) -> Any:
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


def _body(row: Any) -> dict[str, Any]:
    status = current_runtime().index(row.id).status()
    return index_body(row, status, is_administrator=current_caller().is_administrator)
