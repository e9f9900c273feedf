"""Search: by words, by an uploaded picture, by a stored one, or by a vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import request

from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import InvalidInput
from mirada.runtime import EncoderKind, Runtime
from mirada.search import queries
from mirada.search.by_vector import search
from mirada.search.combined import DEFAULT_WEIGHTS, search_combined
from mirada.search.queries import ALL, Query, QueryKind, Source
from webapp.api.likes import liked_in
from webapp.callers.asking import asked_by_caller
from webapp.http.current import current_runtime
from webapp.http.rest import MIN_CHANGE_SEQ, ApiBlueprint, json_fields, multipart_fields
from webapp.http.uploads import query_of_upload
from webapp.schemas.fusion import FUSED_EXAMPLE, SearchedSchema, fused_body
from webapp.schemas.search import (
    DEFAULT_RESULTS,
    SEARCH_EXAMPLE,
    MultipartSearchSchema,
    PictureQuerySchema,
    SearchSchema,
    found_body,
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
FUSED_WEIGHTS: dict[str, Mapping[str, float]] = {
    ALL: DEFAULT_WEIGHTS,
    Source.CAPTIONS.value: {Source.CAPTIONS: 1.0},
    Source.KEYWORDS.value: {Source.KEYWORDS: 1.0},
}
"""What `in` compares a text with, where the answer says who found what."""
REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": SearchSchema,
            "examples": {
                "words": {"value": {"text": "a cat with sunglasses", "k": 5}},
                "stored picture": {"value": {"image_id": 17, "threshold": 0.5}},
                "prompts": {"value": {"text": "film still, anamorphic", "in": "prompts"}},
                "as written": {"value": {"text": "long hair", "in": "keywords"}},
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


@blueprint.post("")
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
def search_images() -> Any:
    """Best first, among the images the caller may see.

    Send exactly one of text, image_id, vector (as JSON) and file (as multipart/form-data).
    `similarity` is the cosine; `relevance` says where it stands among what is here; `verdict`
    says whether anything relevant was found at all. With `in` set to `prompts` the prompts are
    compared, by their meaning, instead of what the pictures show; with a text, `captions` compares
    captions by their meaning, and `keywords` looks for words.

    A text with `in` set to `all`, or with `weights`, asks several sources and fuses their
    rankings: what pictures show, prompts and captions by meaning, and the words of prompts and
    captions as they are written, without regard to case and accents. `captions` and `keywords`
    alone are answered in the same form. Each result then carries
    `score` and says who found it; `threshold` cuts the vector sources and not the words; an
    image that has every word of the text makes the verdict `relevant`. A source that cannot
    be searched just now is in `left_out` with the reason; only when none is left is that an error.
    """
    runtime = current_runtime()
    if request.mimetype == "multipart/form-data":
        query = multipart_fields(MultipartSearchSchema)
    else:
        query = json_fields(
            SearchSchema, "Send the query as application/json, or a picture as multipart/form-data."
        )
    k = query["k"] or query["limit"] or DEFAULT_RESULTS
    if query["in_"] in FUSED_WEIGHTS or query.get("weights"):
        return _combined(runtime, query, k)
    asked = asked_by_caller(own_alone=query["mine"])
    if query.get("image_id") is not None:
        # It is no news to whoever named it.
        asked = asked.without(query["image_id"])
    vector = _query(runtime, query, asked.audience)
    found = search(runtime, vector, asked, k=k, threshold=query["threshold"])
    return found_body(found, asked.audience.viewer_id, vector.space.name, liked_in(found.results))


def _combined(runtime: Runtime, query: dict[str, Any], k: int) -> dict[str, Any]:
    if _kind_given(query) is not QueryKind.TEXT:
        message = "Only a text is looked for there."
        raise InvalidInput(message, fields={"weights" if query.get("weights") else "in": [message]})
    weights = query.get("weights") or FUSED_WEIGHTS[query["in_"]]
    asked = asked_by_caller(own_alone=query["mine"])
    found = search_combined(
        runtime, query["text"], weights, asked, k=k, threshold=query["threshold"]
    )
    return fused_body(found, weights, asked.audience.viewer_id, liked_in(found.results), k)


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


def _query(runtime: Runtime, query: dict[str, Any], audience: Audience) -> Query:
    kind = _kind_given(query)
    space: EncoderKind = SpaceKind.PROMPT if query["in_"] == Source.PROMPTS else SpaceKind.IMAGE
    if kind is QueryKind.TEXT:
        return queries.of_text(runtime, query["text"], space, audience)
    if kind is QueryKind.IMAGE_ID:
        return queries.of_image(runtime, query["image_id"], space, audience)
    if kind is QueryKind.VECTOR:
        return queries.of_numbers(runtime, query["vector"], space)
    if space is SpaceKind.PROMPT:
        message = "A picture cannot be compared with prompts; send text, image_id or vector."
        raise InvalidInput(message, fields={"in": [message]})
    return query_of_upload()
