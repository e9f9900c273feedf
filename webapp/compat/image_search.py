"""The routes of the image search backend: search by upload, and stored images."""

from __future__ import annotations

import re
from typing import Any

import marshmallow as ma
from flask import url_for
from flask_smorest.fields import Upload

from mirada.kernel.errors import NotFound
from mirada.kernel.external_ids import IMAGE_SEARCH, known_as
from mirada.kernel.picture_formats import ImageFormat
from mirada.pictures import external_ids, images
from mirada.search.request import SearchRequest
from mirada.search.run import run
from webapp.callers.asking import asked_by_caller
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime
from webapp.http.rest import MIN_CHANGE_SEQ, ApiBlueprint, multipart_body
from webapp.http.sending import send_picture, sends_picture, shown_by_any_site
from webapp.http.uploads import part_of_upload
from webapp.schemas.replies import ReplySchema
from webapp.schemas.similar import known_id_field

blueprint = ApiBlueprint(
    "image_search", __name__, ignores_unknown=True, description="Routes of the image search backend"
)
DEFAULT_THRESHOLD = 0.2
"""CONTRACT B, where SIMILARITY_THRESHOLD is unset."""
_STORED_NAME = re.compile(r"(\d{1,18})\.([a-z]{3,4})")
_EXTENSIONS = {fmt.extension for fmt in ImageFormat}


class QueryPictureSchema(ma.Schema):
    """The picture to find the like of."""

    file = Upload(required=True)


class SimilarImageSchema(ReplySchema):
    """One result."""

    id = known_id_field()
    similarity = ma.fields.Float(required=True)
    path = ma.fields.String(required=True)


class SimilarImagesSchema(ReplySchema):
    """Results, best first."""

    results = ma.fields.List(ma.fields.Nested(SimilarImageSchema), required=True)


@blueprint.post("/search-similar-images")
@blueprint.operation(
    "searchSimilarImages",
    "Find stored images like an uploaded one",
    refusals=(400, 403, 409, 413, 415, 422),
    requestBody=multipart_body(QueryPictureSchema),
    parameters=[MIN_CHANGE_SEQ],
)
@blueprint.response(
    200,
    SimilarImagesSchema,
    example={"results": [{"id": 17, "similarity": 0.93, "path": "/static/17.png"}]},
)
def search_similar_images() -> Any:
    """Nothing under SIMILARITY_THRESHOLD (0.2), at most SIMILARITY_LIMIT; nothing is kept."""
    runtime, asked = current_runtime(), asked_by_caller()
    settings = runtime.settings
    threshold = settings.similarity_threshold
    request = SearchRequest(
        (part_of_upload(),),
        asked,
        settings.similarity_limit,
        threshold=DEFAULT_THRESHOLD if threshold is None else threshold,
    )
    found = run(runtime, request)
    return {
        "results": [
            {
                "id": known_as(result.image.external_id, result.image.id),
                "similarity": result.similarity,
                "path": url_for(
                    "image_search.get_stored_image",
                    filename=result.image.external_name
                    or _stored_name(result.image.id, result.image.format),
                ),
            }
            for result in found.results
        ]
    }


@blueprint.get("/static/<filename>")
@sends_picture(blueprint, "getStoredImage", "Get a stored image")
def get_stored_image(filename: str) -> Any:
    """By the name that a search gave, and nothing else; what was imported keeps the name it had.

    Owners get the original; others a WebP copy without metadata, whatever the name ends in.
    """
    caller = current_caller()
    with current_runtime().reading() as session:
        image_id = external_ids.image_at_name(session, filename, caller.audience, IMAGE_SEARCH)
        if image_id is not None:
            image = images.get_image(session, image_id, caller.audience)
        else:
            image = images.get_image(session, _own_id_in(filename), caller.audience)
            is_called_otherwise = image.external_name is not None
            if is_called_otherwise or _stored_name(image.id, image.content.format) != filename:
                raise NotFound(f"There is no stored image {filename}.")
    # These addresses are made for the pages of another site.
    return shown_by_any_site(send_picture(image, caller.user_id, as_attachment=False))


def _own_id_in(filename: str) -> int:
    found = _STORED_NAME.fullmatch(filename)
    if found is None or found[2] not in _EXTENSIONS:
        raise NotFound(f"There is no stored image {filename}.")
    return int(found[1])


def _stored_name(image_id: int, fmt: str) -> str:
    return f"{image_id}.{ImageFormat(fmt).extension}"
