"""The bytes of one image: the picture and its thumbnail, on the blueprint of images."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView

from mirada.pictures import images
from webapp.api.images import blueprint
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime
from webapp.http.sending import (
    PICTURE_DOC,
    PICTURE_RANGE,
    PICTURE_REFUSALS,
    send_picture,
    send_thumbnail,
)
from webapp.schemas.ids import ID


@blueprint.route(f"/<{ID}:image_id>/file")
class ImageFile(MethodView):
    """The picture itself."""

    @blueprint.operation("getImageFile", "Get the picture", refusals=PICTURE_REFUSALS)
    @blueprint.alt_response(206, **PICTURE_RANGE)
    @blueprint.alt_response(304, description="It is the one you have.")
    @blueprint.response(200, PICTURE_DOC["schema"], content_type="image/*")
    def get(self, image_id: int) -> Any:
        """Owners get the original, byte for byte; others a WebP copy without metadata."""
        return send_picture(*_visible(image_id), as_attachment=True)


@blueprint.route(f"/<{ID}:image_id>/thumbnail")
class ImageThumbnail(MethodView):
    """A small copy."""

    @blueprint.operation("getImageThumbnail", "Get a thumbnail", refusals=PICTURE_REFUSALS)
    @blueprint.alt_response(206, **PICTURE_RANGE)
    @blueprint.alt_response(304, description="It is the one you have.")
    @blueprint.response(200, PICTURE_DOC["schema"], content_type="image/webp")
    def get(self, image_id: int) -> Any:
        """WebP, at most 320 pixels on its longer side."""
        image, _ = _visible(image_id)
        return send_thumbnail(image)


def _visible(image_id: int) -> tuple[Any, int | None]:
    viewer_id = current_caller().user_id
    with current_runtime().reading() as session:
        return images.get_image(session, image_id, viewer_id), viewer_id
