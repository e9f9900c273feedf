"""Clusters: the whole library in groups, by theme or by likeness, as each caller may see it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from flask.views import MethodView

from mirada.classify import label_set
from mirada.embedding import label_vectors
from mirada.groups import as_seen, runs
from mirada.groups.as_seen import SeenCluster
from mirada.groups.runs import ClusterKind
from mirada.kernel.embeddings import EmbeddingSpace, Matrix
from mirada.kernel.errors import Conflict, Unavailable
from mirada.kernel.ids import LARGEST_ID
from webapp.api.liking import liked_by_caller
from webapp.callers.auth import require_administrator, require_user
from webapp.http.creations import queued
from webapp.http.current import current_runtime
from webapp.http.pagination import page, row_id_of
from webapp.http.rest import ApiBlueprint, header
from webapp.http.tracing import request_id
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
from webapp.schemas.ids import ID
from webapp.schemas.jobs import JOB_EXAMPLE, JobSchema
from webapp.searching import encoder_for_people

logger = logging.getLogger(__name__)

blueprint = ApiBlueprint(
    "clusters", __name__, url_prefix="/api/v1/clusters", description="The library in groups"
)
PAGES = {"Link": header("Pages, RFC 8288.")}


@blueprint.route("")
class Clusters(MethodView):
    """The groups that were made last."""

    @blueprint.operation("listClusters", "List groups, largest first", refusals=(422,))
    @blueprint.arguments(ClusterListQuerySchema, location="query")
    @blueprint.response(
        200,
        ClusterPageSchema,
        headers=PAGES,
        example={
            "results": [CLUSTER_EXAMPLE],
            "count": 1,
            "next": None,
            "grouped_at": "2026-01-02T03:04:05+00:00",
            "parameters": {"k": None},
        },
    )
    def get(self, query: dict[str, Any]) -> Any:
        """Sizes, examples and names tell of images that the caller may see now, and of no others.

        A group of which the caller sees nothing is not listed, nor a near-duplicate without a
        second one.
        """
        user = require_user()
        with current_runtime().reading() as session:
            seen = as_seen.list_clusters(
                session,
                ClusterKind(query["kind"]),
                viewer_id=user.id,
                cursor=row_id_of(query["cursor"]),
                limit=query["limit"] + 1,
            )
        shown, following, links = page(
            seen.clusters, query["limit"], lambda found: found.id, {"kind": query["kind"]}
        )
        liked = liked_by_caller(member.image for found in shown for member in found.members)
        body = {
            "results": [
                cluster_body(found, name, user.id, liked)
                for found, name in zip(shown, _names(shown), strict=True)
            ],
            "count": len(shown),
            "next": following,
            "grouped_at": None if seen.run is None else seen.run.finished_at,
            "parameters": {} if seen.run is None else seen.run.parameters,
        }
        return body, 200, links

    @blueprint.operation(
        "groupImages", "Group the library anew", refusals=(400, 403, 409, 415, 422)
    )
    @blueprint.arguments(NewClustersSchema, example={"kind": "themes", "k": 20})
    @blueprint.response(
        202, JobSchema, example=JOB_EXAMPLE, headers={"Location": header("The job to follow.")}
    )
    def post(self, wanted: dict[str, Any]) -> Any:
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


@blueprint.route(f"/<{ID}:cluster_id>/images")
class ClusterImages(MethodView):
    """What is in a group."""

    @blueprint.operation(
        "listClusterImages", "List a group's images, newest first", refusals=(404, 422)
    )
    @blueprint.arguments(ClusterImagesQuerySchema, location="query")
    @blueprint.response(
        200,
        ClusterImagesSchema,
        headers=PAGES,
        example={"results": [MEMBER_EXAMPLE], "count": 1, "size": 1, "next": None},
    )
    def get(self, query: dict[str, Any], cluster_id: int) -> Any:
        """Those that the caller may see. Grouping the library anew replaces every group."""
        user = require_user()
        cursor = row_id_of(query["cursor"])
        with current_runtime().reading() as session:
            found = as_seen.get_cluster(
                session,
                cluster_id,
                viewer_id=user.id,
                cursor=None if cursor is None else min(cursor, LARGEST_ID),
                limit=query["limit"] + 1,
            )
        shown, following, links = page(
            found.members, query["limit"], lambda member: member.image.id, {}
        )
        liked = liked_by_caller(member.image for member in shown)
        body = {
            "results": [member_body(member, user.id, liked) for member in shown],
            "count": len(shown),
            "size": found.size,
            "next": following,
        }
        return body, 200, links


class _EncoderWhenNeeded:
    """The text tower, loaded only if some label's vector is not known yet."""

    @property
    def space(self) -> EmbeddingSpace:
        """The pinned space."""
        return current_runtime().space()[1]

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) unit rows. Raises Conflict or Unavailable where there is no encoder."""
        return encoder_for_people().encode_texts(texts)


def _names(clusters: Sequence[SeenCluster]) -> Sequence[str | None]:
    """Return the default labels nearest to what the caller sees of each group."""
    if not clusters:
        return []
    runtime = current_runtime()
    with runtime.reading() as session:
        default = label_set.default_set(session)
    try:
        vectors = label_vectors.vectors_of(
            runtime, _EncoderWhenNeeded(), [label_vectors.of_label(label) for label in default]
        )
    except (Conflict, Unavailable) as error:
        # Groups without names are better than none.
        logger.info("Groups have no names: %s", error)
        return [None] * len(clusters)
    return as_seen.nearest_names(clusters, [label.name for label in default], vectors)
