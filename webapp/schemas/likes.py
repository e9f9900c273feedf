"""Likes and lists of who gave them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.pictures.likes import Liker
from webapp.schemas.images import MAX_PAGE, OwnerSchema, ReplySchema

LIKER_EXAMPLE = {
    "user": {"id": 2, "username": "ana"},
    "created_at": "2026-01-02T03:04:05+00:00",
}


class LikedSchema(ReplySchema):
    """Whether the caller likes an image, and how many people do."""

    liked = ma.fields.Boolean(required=True)
    like_count = ma.fields.Integer(required=True)


class LikerSchema(ReplySchema):
    """Who likes an image, and since when."""

    user = ma.fields.Nested(OwnerSchema, required=True)
    created_at = ma.fields.DateTime(required=True)


class LikerPageSchema(ReplySchema):
    """One page of people who like an image."""

    results = ma.fields.List(ma.fields.Nested(LikerSchema), required=True)
    count = ma.fields.Integer(required=True, metadata={"description": "How many this page holds."})
    like_count = ma.fields.Integer(
        required=True, metadata={"description": "How many there are in all."}
    )
    next = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Address of the next page."}
    )


class LikerListQuerySchema(ma.Schema):
    """Which page."""

    limit = ma.fields.Integer(load_default=20, validate=validate.Range(1, MAX_PAGE))
    cursor = ma.fields.String(
        load_default=None, metadata={"description": "From `next` of the page before."}
    )


def liker_body(liker: Liker) -> dict[str, Any]:
    """Return the fields for `LikerSchema`."""
    return {
        "user": {"id": liker.user_id, "username": liker.username},
        "created_at": liker.since,
    }
