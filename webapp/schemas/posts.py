"""Images in the short list form of captioned posts."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.search.by_vector import FoundImage
from webapp.schemas.replies import MAX_PAGE, ReplySchema
from webapp.schemas.search import NOT_BLANK

MAX_QUERY_CHARS = 1_000
IMAGE_POST_EXAMPLE = {
    "id": 17,
    "caption": "A cat with sunglasses",
    "prompt": None,
    "image_url": "/api/v1/images/17/file",
    "thumbnail_url": "/api/v1/images/17/thumbnail",
    "created_at": "2026-01-02T03:04:05+00:00",
    "similarity": 0.93,
}


class ImagePostSchema(ReplySchema):
    """An image in the short list form of captioned posts."""

    id = ma.fields.Integer(required=True)
    caption = ma.fields.String(required=True, allow_none=True)
    prompt = ma.fields.String(required=True, allow_none=True)
    image_url = ma.fields.String(required=True)
    thumbnail_url = ma.fields.String(required=True)
    created_at = ma.fields.DateTime(required=True)
    similarity = ma.fields.Float(
        required=True, metadata={"description": "Cosine in [-1, 1], higher is nearer."}
    )


class CaptionQuerySchema(ma.Schema):
    """What to look for in captions."""

    query = ma.fields.String(
        required=True,
        validate=[validate.Length(max=MAX_QUERY_CHARS), NOT_BLANK],
        metadata={"description": "Words; their meaning counts."},
    )
    limit = ma.fields.Integer(load_default=10, validate=validate.Range(1, MAX_PAGE))


def image_post(result: FoundImage) -> dict[str, Any]:
    """Return a search result's fields for `ImagePostSchema`."""
    image = result.image
    return {
        "id": image.id,
        "caption": image.caption,
        "prompt": image.prompt,
        "image_url": url_for("images.ImageFile", image_id=image.id),
        "thumbnail_url": url_for("images.ImageThumbnail", image_id=image.id),
        "created_at": image.created_at,
        "similarity": result.similarity,
    }
