"""What is related to one image, on the blueprint of images."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView

from mirada.search.related import related_images
from webapp.api.images import blueprint
from webapp.api.likes import liked_by_caller
from webapp.callers.asking import asked_by_caller
from webapp.http.current import current_runtime
from webapp.http.rest import MIN_CHANGE_SEQ
from webapp.schemas.ids import ID
from webapp.schemas.related import (
    RELATED_EXAMPLE,
    RelatedQuerySchema,
    RelatedSchema,
    related_body,
)


@blueprint.route(f"/<{ID}:image_id>/related")
class RelatedImages(MethodView):
    """More like this."""

    @blueprint.operation(
        "listRelatedImages",
        "Find images related by picture and prompt",
        refusals=(404, 409, 422),
        parameters=[MIN_CHANGE_SEQ],
    )
    @blueprint.arguments(RelatedQuerySchema, location="query")
    @blueprint.response(200, RelatedSchema, example=RELATED_EXAMPLE)
    def get(self, query: dict[str, Any], image_id: int) -> Any:
        """Best first, never the image itself; an empty list while it has no vector."""
        asked = asked_by_caller(own_alone=query["mine"])
        found = related_images(
            current_runtime(), image_id, asked, k=query["limit"], blend=query["blend"]
        )
        liked = liked_by_caller(result.image.id for result in found.results)
        return related_body(found, asked.audience.viewer_id, liked)
