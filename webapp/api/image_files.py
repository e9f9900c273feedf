"""The bytes of one image: the picture and its thumbnail, on the blueprint of images."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView

from mirada.pictures import images
from webapp.api.images import blueprint
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime
from webapp.http.sending import send_picture, send_thumbnail, sends_picture
from webapp.schemas.ids import ID


@blueprint.route(f"/<{ID}:image_id>/file")
class ImageFile(MethodView):
    """The picture."""

    @sends_picture(blueprint, "getImageFile", "Get the picture")
    def get(self, image_id: int) -> Any:
        """Owners get the original, byte for byte; others a WebP copy without metadata."""
        return send_picture(*_visible(image_id), as_attachment=True)


@blueprint.route(f"/<{ID}:image_id>/thumbnail")
class ImageThumbnail(MethodView):
    """The thumbnail."""

    @sends_picture(blueprint, "getImageThumbnail", "Get a thumbnail", "image/webp")
    def get(self, image_id: int) -> Any:
        """WebP, at most 320 pixels on its longer side."""
        image, _ = _visible(image_id)
        return send_thumbnail(image)


def _visible(image_id: int) -> tuple[Any, int | None]:
    caller = current_caller()
    with current_runtime().reading() as session:
        return images.get_image(session, image_id, caller.audience), caller.user_id
