"""Search: by words, by an uploaded picture, by a stored one, or by a vector."""

from __future__ import annotations

from typing import Any

from flask import request
from flask.views import MethodView
from werkzeug.exceptions import UnsupportedMediaType

from mirada.kernel.embeddings import Vector
from mirada.kernel.errors import InvalidInput
from webapp.api.likes import liked_by_caller, liked_in
from webapp.callers.auth import Caller, current_caller
from webapp.fusing import DEFAULT_WEIGHTS, fused_images
from webapp.http import uploads
from webapp.http.rest import MIN_CHANGE_SEQ, ApiBlueprint, multipart_fields
from webapp.schemas.fusion import FUSED_EXAMPLE, SearchedSchema, fused_body
from webapp.schemas.search import (
    ALL,
    DEFAULT_RESULTS,
    PROMPTS,
    SEARCH_EXAMPLE,
    MultipartSearchSchema,
    PictureQuerySchema,
    SearchSchema,
    found_body,
)
from webapp.searching import (
    QueryKind,
    find_images,
    image_space,
    prompt_space,
    vector_given,
    vector_of_image,
    vector_of_prompt,
    vector_of_text,
    vector_of_upload,
)

blueprint = ApiBlueprint(
    "search", __name__, url_prefix="/api/v1/search", description="Find pictures"
)
KINDS = {
    "text": QueryKind.TEXT,
    "image_id": QueryKind.IMAGE_ID,
    "vector": QueryKind.VECTOR,
    "file": QueryKind.PICTURE,
}
REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": SearchSchema,
            "examples": {
                "words": {"value": {"text": "a cat with sunglasses", "k": 5}},
                "stored picture": {"value": {"image_id": 17, "threshold": 0.5}},
                "prompts": {"value": {"text": "film still, anamorphic", "in": "prompts"}},
                "all there is": {"value": {"text": "gato na lua", "in": "all"}},
                "weighted": {
                    "value": {"text": "gato na lua", "weights": {"pictures": 1, "keywords": 2}}
                },
            },
        },
        "multipart/form-data": {
            "schema": PictureQuerySchema,
            "example": {"file": "@cat.png", "k": 5},
        },
    },
}


@blueprint.route("")
class Search(MethodView):
    """One query, one answer."""

    @blueprint.operation(
        "searchImages",
        "Search by text, picture, stored image or vector",
        refusals=(400, 403, 404, 409, 413, 415, 422),
        requestBody=REQUEST_BODY,
        parameters=[MIN_CHANGE_SEQ],
    )
    @blueprint.response(
        200,
        SearchedSchema,
        examples={"pictures": {"value": SEARCH_EXAMPLE}, "fused": {"value": FUSED_EXAMPLE}},
    )
    def post(self) -> Any:
        """Best first, among the images the caller may see.

        Send exactly one of text, image_id, vector (as JSON) and file (as multipart/form-data).
        `similarity` is the cosine; `relevance` says where it stands among what is here; `verdict`
        says whether anything relevant was found at all. With `in` set to `prompts` the prompts are
        compared, by their meaning, instead of what the pictures show.

        A text with `in` set to `all`, or with `weights`, asks several sources and fuses their
        rankings: what pictures show, prompts and captions by meaning, and the words of prompts and
        captions as they are written, without regard to case and accents. Each result then carries
        `score` and says who found it; `threshold` cuts the vector sources and not the words; an
        image that has every word of the text makes the verdict `relevant`. A source that cannot
        be searched just now is in `left_out` with the reason; only when none is left is that an error.
        """
        caller = current_caller()
        is_multipart = request.mimetype == "multipart/form-data"
        query = multipart_fields(MultipartSearchSchema) if is_multipart else _json_fields()
        if query["in_"] == ALL or query.get("weights"):
            return _fused(query, caller)
        by_prompt = query["in_"] == PROMPTS
        kind = _kind_given(query)
        found = find_images(
            _vector(kind, query, caller, by_prompt),
            caller,
            asked_with=kind,
            k=query["k"] or query["limit"] or DEFAULT_RESULTS,
            threshold=query["threshold"],
            exclude_image_ids=_itself(query),
            only_own=query["mine"],
            by_prompt=by_prompt,
        )
        _, space = prompt_space() if by_prompt else image_space()
        return found_body(found, caller.user_id, space.name, liked_in(found))


def _fused(query: dict[str, Any], caller: Caller) -> dict[str, Any]:
    if _kind_given(query) is not QueryKind.TEXT:
        message = "Only a text is looked for in several sources."
        raise InvalidInput(message, fields={"in" if query["in_"] == ALL else "weights": [message]})
    weights = query.get("weights") or DEFAULT_WEIGHTS
    k = query["k"] or query["limit"] or DEFAULT_RESULTS
    found = fused_images(
        query["text"],
        weights,
        caller,
        k=k,
        threshold=query["threshold"],
        only_own=query["mine"],
    )
    liked = liked_by_caller(result.image.id for result in found.results)
    return fused_body(found, weights, caller.user_id, liked, k)


def _json_fields() -> dict[str, Any]:
    if not request.is_json:
        raise UnsupportedMediaType(
            "Send the query as application/json, or a picture as multipart/form-data."
        )
    return ApiBlueprint.ARGUMENTS_PARSER.parse(SearchSchema(), location="json")


def _itself(query: dict[str, Any]) -> tuple[int, ...]:
    """Return the stored image searched with, which is no news to whoever named it."""
    image_id = query.get("image_id")
    return () if image_id is None else (image_id,)


def _kind_given(query: dict[str, Any]) -> QueryKind:
    given = [kind for kind in KINDS if query.get(kind) is not None]
    if request.files:
        given.append("file")
    if len(given) != 1:
        message = f"Send exactly one of {', '.join(KINDS)}; " + (
            f"this has {' and '.join(given)}." if given else "this has none."
        )
        raise InvalidInput(message, fields={kind: [message] for kind in given or KINDS})
    return KINDS[given[0]]


def _vector(kind: QueryKind, query: dict[str, Any], caller: Caller, by_prompt: bool) -> Vector:
    match kind:
        case QueryKind.TEXT if by_prompt:
            return vector_of_prompt(query["text"])
        case QueryKind.TEXT:
            return vector_of_text(query["text"])
        case QueryKind.IMAGE_ID:
            return vector_of_image(query["image_id"], caller, by_prompt=by_prompt)
        case QueryKind.VECTOR:
            return vector_given(query["vector"], by_prompt=by_prompt)
        case _ if by_prompt:
            message = "A picture cannot be compared with prompts; send text, image_id or vector."
            raise InvalidInput(message, fields={"in": [message]})
        case QueryKind.PICTURE:
            return vector_of_upload(uploads.uploaded_file())
