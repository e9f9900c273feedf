"""Groups of the library, by theme or by likeness, as each caller may see them."""

from __future__ import annotations

from typing import Any

from mirada.groups import as_seen, runs
from mirada.groups.runs import ClusterKind
from webapp.api.likes import liked_in
from webapp.callers.asking import scope_of_caller
from webapp.callers.auth import require_administrator, require_user
from webapp.callers.group_names import names_of
from webapp.http.creations import queued
from webapp.http.current import current_runtime, request_id
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import ApiBlueprint, header
from webapp.schemas.clusters import (
    CLUSTER_EXAMPLE,
    MEMBER_EXAMPLE,
    ClusterImagesQuerySchema,
    ClusterImagesSchema,
    ClusterListQuerySchema,
    ClusterPageSchema,
    NewClustersSchema,
    cluster_body,
    member_body,
)
from webapp.schemas.jobs import JOB_EXAMPLE, JobSchema

blueprint = ApiBlueprint(
    "clusters", __name__, url_prefix="/api/v1/clusters", description="The library in groups"
)


@blueprint.get("")
@blueprint.pages(
    "listClusters",
    "List groups, largest first",
    ClusterPageSchema,
    query=ClusterListQuerySchema,
    example=CLUSTER_EXAMPLE,
    beside={"grouped_at": "2026-01-02T03:04:05+00:00", "parameters": {"k": None}},
    refusals=(409,),
)
def list_clusters(query: PageQuery) -> Listed[Any]:
    """Sizes, examples and names tell of images that the caller may see now, and of no others.

    A group of which the caller sees nothing is not listed, nor a near-duplicate without a
    second one. With conditions a group is what meets them: its size, examples and name.
    """
    user = require_user()
    filters = dict(query.filters)
    kind = ClusterKind(filters.pop("kind"))
    scope = scope_of_caller(filters)
    with current_runtime().reading() as session:
        seen = as_seen.list_clusters(session, kind, scope, **query.bounds)
    liked = liked_in(member for found in seen.clusters for member in found.members)
    names = dict(zip([found.id for found in seen.clusters], names_of(seen.clusters), strict=True))
    return Listed(
        seen.clusters,
        lambda found: cluster_body(found, names[found.id], user.id, liked),
        beside={
            "grouped_at": None if seen.run is None else seen.run.finished_at,
            "parameters": {} if seen.run is None else seen.run.parameters,
        },
    )


@blueprint.post("")
@blueprint.operation("groupImages", "Group the library anew", refusals=(400, 403, 409, 415, 422))
@blueprint.arguments(NewClustersSchema, example={"kind": "themes", "k": 20})
@blueprint.response(
    202, JobSchema, example=JOB_EXAMPLE, headers={"Location": header("The job to follow.")}
)
def group_images(wanted: dict[str, Any]) -> Any:
    """By a worker; the former groups are shown until it is done. For administrators."""
    user = require_administrator()
    with current_runtime().transaction() as session:
        job = runs.request(
            session,
            ClusterKind(wanted["kind"]),
            k=wanted["k"],
            threshold=wanted["threshold"],
            owner_id=user.id,
            request_id=request_id(),
        )
    return queued(job.id, job.kind, user)


@blueprint.get("/<id:cluster_id>/images")
@blueprint.pages(
    "listClusterImages",
    "List a group's images, newest first",
    ClusterImagesSchema,
    query=ClusterImagesQuerySchema,
    example=MEMBER_EXAMPLE,
    beside={"size": 1},
    refusals=(404,),
)
def list_cluster_images(query: PageQuery, cluster_id: int) -> Listed[Any]:
    """Those that the caller may see and that meet every condition.

    Grouping the library anew replaces every group.
    """
    user = require_user()
    with current_runtime().reading() as session:
        scope = scope_of_caller(query.filters)
        found = as_seen.get_cluster(session, cluster_id, scope, **query.bounds)
    liked = liked_in(found.members)
    return Listed(
        found.members,
        lambda member: member_body(member, user.id, liked),
        lambda member: member.image.id,
        {"size": found.size},
    )
