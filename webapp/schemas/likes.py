"""Likes."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from mirada.pictures.likes import Liker
from webapp.schemas.images import OwnerSchema
from webapp.schemas.replies import HOW_MANY, ReplySchema, page_of

LIKER_EXAMPLE = {
    "user": {"id": 2, "username": "ana"},
    "created_at": "2026-01-02T03:04:05+00:00",
}


class LikedSchema(ReplySchema):
    """The caller's like of an image, and the number of likes."""

    liked = ma.fields.Boolean(required=True)
    like_count = ma.fields.Integer(required=True)


class LikerSchema(ReplySchema):
    """A user who likes an image, and since when."""

    user = ma.fields.Nested(OwnerSchema, required=True)
    created_at = ma.fields.DateTime(required=True)


LikerPageSchema = page_of(LikerSchema, like_count=HOW_MANY)


def liker_body(liker: Liker) -> dict[str, Any]:
    """Return the fields for `LikerSchema`."""
    return {
        "user": {"id": liker.user_id, "username": liker.username},
        "created_at": liker.since,
    }
