"""The check of the models."""

from __future__ import annotations

import marshmallow as ma

from webapp.schemas.replies import ReplySchema


class ModelsSchema(ReplySchema):
    """The result of a real probe of both towers."""

    enabled = ma.fields.Boolean(required=True)
    device = ma.fields.String(required=True)
    text_model = ma.fields.String(required=True, allow_none=True)
    image_model = ma.fields.String(required=True, allow_none=True)
    errors = ma.fields.List(
        ma.fields.String(), required=True, metadata={"description": "Empty when all is well."}
    )
