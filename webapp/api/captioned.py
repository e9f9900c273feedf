"""Images by what their captions say."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView

from mirada.search.by_vector import search_captions
from webapp.api.images import blueprint
from webapp.callers.asking import asked_by_caller
from webapp.http.current import current_runtime
from webapp.http.rest import MIN_CHANGE_SEQ
from webapp.schemas.posts import IMAGE_POST_EXAMPLE, CaptionQuerySchema, ImagePostSchema, image_post


@blueprint.route("/search")
class CaptionedImages(MethodView):
    """What captions say."""

    @blueprint.operation(
        "searchImagePosts",
        "Search captions by meaning, as a plain list",
        refusals=(400, 403, 409, 415, 422),
        parameters=[MIN_CHANGE_SEQ],
    )
    @blueprint.arguments(
        CaptionQuerySchema, example={"query": "a cat that looks cool", "limit": 10}
    )
    @blueprint.response(200, ImagePostSchema(many=True), example=[IMAGE_POST_EXAMPLE])
    def post(self, query: dict[str, Any]) -> Any:
        """Best first, among the images that have a caption and that the caller may see.

        Where a language model's server embeds captions, every question costs a little: callers
        without a key are answered 401 then.
        """
        found = search_captions(
            current_runtime(), query["query"], asked_by_caller(), query["limit"]
        )
        return [image_post(result) for result in found]
