"""Users."""

from __future__ import annotations

import marshmallow as ma

from webapp.schemas.images import ReplySchema


class UserSchema(ReplySchema):
    """A user, as that user sees it."""

    id = ma.fields.Integer(required=True)
    username = ma.fields.String(required=True)
    role = ma.fields.String(required=True, validate=ma.validate.OneOf(["user", "administrator"]))
    created_at = ma.fields.DateTime(required=True)
