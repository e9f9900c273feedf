"""The check of the models: an embedding of a picture and of a text."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from mirada.health.check_models import models_report
from webapp.callers.auth import require_user
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint
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


blueprint = ApiBlueprint(
    "models", __name__, url_prefix="/api/v1/models", description="Encoders and whether they work"
)


@blueprint.get("")
@blueprint.operation("checkModels", "Check the models")
@blueprint.response(
    200,
    ModelsSchema,
    example={
        "enabled": True,
        "device": "cpu",
        "text_model": "image:ViT-B-32:laion2b_s34b_b79k:openclip-224-bicubic-v1",
        "image_model": "image:ViT-B-32:laion2b_s34b_b79k:openclip-224-bicubic-v1",
        "errors": [],
    },
)
def check_models() -> Any:
    """Embeds one picture and one text; the first call loads the weights."""
    require_user()
    return models_report(current_runtime()).to_dict()
