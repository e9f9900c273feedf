"""The check of the models: an embedding of a picture and of a text."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView

from mirada.health.check_models import models_report
from webapp.callers.auth import require_user
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint
from webapp.schemas.models import ModelsSchema

blueprint = ApiBlueprint(
    "models", __name__, url_prefix="/api/v1/models", description="Encoders and whether they work"
)


@blueprint.route("")
class Models(MethodView):
    """The image encoder and the text encoder."""

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
    def get(self) -> Any:
        """Embeds one picture and one text; the first call loads the weights."""
        require_user()
        return models_report(current_runtime()).to_dict()
