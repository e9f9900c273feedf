"""The map, as one viewer sees it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import marshmallow as ma
from flask import url_for

from mirada.groups.map_seen import MapGroup, SeenMap
from webapp.schemas.clusters import MEMBER_EXAMPLE, MemberSchema, member_body
from webapp.schemas.replies import ReplySchema

MAP_EXAMPLE = {
    "version": 7,
    "computed_at": "2026-01-02T03:04:05+00:00",
    "method": "openTSNE",
    "count": 34,
    "stale_count": 0,
    "points_url": "/api/v1/map/points/7",
    "groups": [
        {
            "id": 12,
            "number": 0,
            "name": "cat",
            "size": 34,
            "x": 30_112.5,
            "y": 41_006.2,
            "examples": [MEMBER_EXAMPLE],
            "images_url": "/api/v1/clusters/12/images",
        }
    ],
}


class MapGroupSchema(ReplySchema):
    """A group of the map, as if it held nothing but what the caller may see."""

    id = ma.fields.Integer(
        required=True, metadata={"description": "Until the next version; also for `group=ID`."}
    )
    number = ma.fields.Integer(
        required=True, metadata={"description": "By which your points name it, from 0."}
    )
    name = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The nearest default label; null while labels cannot be encoded."},
    )
    size = ma.fields.Integer(required=True, metadata={"description": "Images you may see."})
    x = ma.fields.Float(required=True, metadata={"description": "Mean place, 0 to 65,535."})
    y = ma.fields.Float(required=True, metadata={"description": "Mean place, 0 to 65,535."})
    examples = ma.fields.List(
        ma.fields.Nested(MemberSchema),
        required=True,
        metadata={"description": "A few, nearest to the middle first."},
    )
    images_url = ma.fields.String(required=True)


class MapSchema(ReplySchema):
    """The newest map."""

    version = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "Yours: it grows when something about the map is new to you. Null before the "
            "first map."
        },
    )
    computed_at = ma.fields.DateTime(required=True, allow_none=True)
    method = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "`openTSNE`; or `components`, the first two principal components, spread, "
            "where openTSNE is not installed."
        },
    )
    count = ma.fields.Integer(
        required=True, metadata={"description": "Images on it that you may see."}
    )
    stale_count = ma.fields.Integer(
        required=True,
        metadata={"description": "Images that you may see and that the next version will have."},
    )
    points_url = ma.fields.String(required=True, allow_none=True)
    groups = ma.fields.List(
        ma.fields.Nested(MapGroupSchema),
        required=True,
        metadata={"description": "At most 24, those with most images first."},
    )


def map_body(
    seen: SeenMap, names: Collection[str | None], viewer_id: int | None, liked: Collection[int]
) -> dict[str, Any]:
    """Return the fields for `MapSchema`; `liked` are ids of images that the viewer likes."""
    version = seen.version
    return {
        "version": version,
        "computed_at": seen.computed_at,
        "method": seen.method,
        "count": seen.count,
        "stale_count": seen.stale_count,
        "points_url": None if version is None else url_for("map.get_map_points", version=version),
        "groups": [
            _group_body(group, name, viewer_id, liked)
            for group, name in zip(seen.groups, names, strict=True)
        ],
    }


def _group_body(
    group: MapGroup, name: str | None, viewer_id: int | None, liked: Collection[int]
) -> dict[str, Any]:
    return {
        "id": group.seen.id,
        "number": group.number,
        "name": name,
        "size": group.seen.size,
        "x": group.x,
        "y": group.y,
        "examples": [member_body(member, viewer_id, liked) for member in group.seen.members],
        "images_url": url_for("clusters.list_cluster_images", cluster_id=group.seen.id),
    }
