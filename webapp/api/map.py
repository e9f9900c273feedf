"""The map: the library in two dimensions, as each caller may see it."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Response

from mirada.groups import map_rows, map_seen
from webapp.api.likes import liked_in
from webapp.callers.asking import scope_of_caller
from webapp.callers.auth import require_administrator, require_user
from webapp.callers.group_names import names_of
from webapp.http.creations import queued
from webapp.http.current import current_runtime, request_id
from webapp.http.preconditions import with_etag
from webapp.http.rest import ApiBlueprint, header
from webapp.schemas.jobs import JOB_EXAMPLE, JobSchema
from webapp.schemas.map import MAP_EXAMPLE, MapSchema, map_body

POINTS = "application/octet-stream"

blueprint = ApiBlueprint(
    "map", __name__, url_prefix="/api/v1/map", description="The library in two dimensions"
)


@blueprint.get("")
@blueprint.operation("getMap", "Get the map: its version and its groups")
@blueprint.response(200, MapSchema, example=MAP_EXAMPLE)
def get_map() -> dict[str, Any]:
    """Counts, places, names and examples tell of images that the caller may see now.

    A worker makes the map: new pictures get a place within about an hour, and every place is computed
    anew once a week, or when the library has grown by a tenth.
    """
    user = require_user()
    seen = map_seen.see_map(current_runtime(), scope_of_caller())
    groups = [group.seen for group in seen.groups]
    liked = liked_in(member for group in groups for member in group.members)
    return map_body(seen, names_of(groups), user.id, liked)


@blueprint.get("/points/<id:version>")
@blueprint.operation("getMapPoints", "Get the places of images on the map", refusals=(404,))
@blueprint.alt_response(304, description="They are the ones you have.")
@blueprint.response(
    200,
    {"type": "string", "format": "binary"},
    content_type=POINTS,
    description="Columns one after another, little-endian, of n images by ascending id: n ids "
    "(uint64), n x and n y (uint16, 0 to 65,535, y downwards), n numbers of groups (uint8). "
    "That is 13 bytes for each image.",
    headers={"ETag": header("Tag of these places, for If-None-Match.")},
)
def get_map_points(version: int) -> Response:
    """Those of the images that the caller may see now. A former version answers 404."""
    require_user()
    packed = map_seen.see_points(current_runtime(), version, scope_of_caller()).packed()
    response = Response(packed, mimetype=POINTS)
    response.headers["Cache-Control"] = "private, no-cache"
    return with_etag(response, hashlib.sha256(packed).hexdigest()[:32])


@blueprint.post("")
@blueprint.operation("makeMap", "Make the map anew", refusals=(403, 409))
@blueprint.response(
    202, JobSchema, example=JOB_EXAMPLE, headers={"Location": header("The job to follow.")}
)
def make_map() -> Any:
    """By a worker; the former map is shown until it is done. For administrators."""
    user = require_administrator()
    with current_runtime().transaction() as session:
        job = map_rows.request_map(session, owner_id=user.id, request_id=request_id())
    return queued(job.id, job.kind, user)
