"""Groups of the library, as one viewer sees them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.groups.as_seen import Member, SeenCluster
from mirada.groups.near_duplicates import DEFAULT_THRESHOLD, LEAST_THRESHOLD
from mirada.groups.runs import ClusterKind
from mirada.kernel.clustering import MAX_K
from mirada.pictures.shown_images import ShownImage
from webapp.schemas.filters import FilterParametersSchema
from webapp.schemas.images import IMAGE_EXAMPLE, ImageSchema, image_body
from webapp.schemas.numbers import WholeField
from webapp.schemas.replies import PageQuerySchema, ReplySchema, page_of
from webapp.schemas.rules import never, together

KINDS = [kind.value for kind in ClusterKind if kind is not ClusterKind.MAP]
MEMBER_EXAMPLE = {"image": IMAGE_EXAMPLE, "similarity": 0.91}
CLUSTER_EXAMPLE = {
    "id": 12,
    "kind": "themes",
    "size": 34,
    "name": "cat",
    "examples": [MEMBER_EXAMPLE],
    "images_url": "/api/v1/clusters/12/images",
}


class NewClustersSchema(ma.Schema):
    """The parameters of a new grouping."""

    class Meta:
        """Tell which parameter is of which kind."""

        rules: ClassVar = never(
            together(kind={"const": ClusterKind.THEMES.value}, threshold={"type": "number"}),
            together(kind={"const": ClusterKind.NEAR_DUPLICATES.value}, k={"type": "integer"}),
        )

    kind = ma.fields.String(
        required=True,
        validate=validate.OneOf(KINDS),
        metadata={"description": "themes: by what they show. near_duplicates: nearly the same."},
    )
    k = WholeField(
        load_default=None,
        allow_none=True,
        validate=validate.Range(2, MAX_K),
        metadata={"description": "How many themes; left out, the pictures decide."},
    )
    threshold = ma.fields.Float(
        load_default=None,
        allow_none=True,
        validate=validate.Range(LEAST_THRESHOLD, 1.0),
        metadata={
            "description": "Least cosine of near-duplicates; "
            f"left out, {DEFAULT_THRESHOLD:g}, or what fits the model since it was changed. "
            "Pictures that a chain of such pairs connects are "
            "one group."
        },
    )


class ClusterListQuerySchema(PageQuerySchema, FilterParametersSchema):
    """The page of groups to list, and which images count; `kind` is the groups'."""

    kind = ma.fields.String(load_default=ClusterKind.THEMES.value, validate=validate.OneOf(KINDS))


class ClusterImagesQuerySchema(PageQuerySchema, FilterParametersSchema):
    """The page of a group's images to list, and which images."""


class MemberSchema(ReplySchema):
    """An image of a group."""

    image = ma.fields.Nested(ImageSchema, required=True)
    similarity = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "Cosine with the mean of what you see of the group, in [-1, 1], higher "
            "is nearer; null where the stored vector is damaged."
        },
    )


class ClusterSchema(ReplySchema):
    """A group, as if it held nothing but what the caller may see."""

    id = ma.fields.Integer(
        required=True, metadata={"description": "Until the library is grouped anew."}
    )
    kind = ma.fields.String(required=True, validate=validate.OneOf(KINDS))
    size = ma.fields.Integer(required=True, metadata={"description": "Images you may see."})
    name = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The label of the default set that is nearest to those images; null "
            "while labels cannot be encoded."
        },
    )
    examples = ma.fields.List(
        ma.fields.Nested(MemberSchema),
        required=True,
        metadata={"description": "A few, nearest to the middle first."},
    )
    images_url = ma.fields.String(required=True)


ClusterPageSchema = page_of(
    ClusterSchema,
    is_terse=True,
    grouped_at=ma.fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Pictures that came later are in no group yet; null: never."},
    ),
    parameters=ma.fields.Dict(
        required=True, metadata={"description": "What was asked for: `k` or `threshold`."}
    ),
)
ClusterImagesSchema = page_of(
    MemberSchema,
    name="ClusterImages",
    size=ma.fields.Integer(required=True, metadata={"description": "How many you may see in all."}),
    next=ma.fields.String(required=True, allow_none=True),
)


def cluster_body(
    cluster: SeenCluster, name: str | None, viewer_id: int | None, liked: Collection[int]
) -> dict[str, Any]:
    """Return the fields for `ClusterSchema`; `liked` are ids of images that the viewer likes."""
    return {
        "id": cluster.id,
        "kind": cluster.kind.value,
        "size": cluster.size,
        "name": name,
        "examples": [member_body(member, viewer_id, liked) for member in cluster.members],
        "images_url": url_for("clusters.list_cluster_images", cluster_id=cluster.id),
    }


def member_body(member: Member, viewer_id: int | None, liked: Collection[int]) -> dict[str, Any]:
    """Return the fields for `MemberSchema`; `liked` are ids of images that the viewer likes."""
    shown = ShownImage.of(member.image, viewer_id, liked=member.image.id in liked)
    return {"image": image_body(shown), "similarity": member.similarity}
