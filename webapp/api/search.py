"""Search: by words, by an uploaded picture, by a stored one, or by a vector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from flask import request, url_for

from mirada.kernel.errors import InvalidInput, MiradaError
from mirada.search import pages
from mirada.search.asked import Asked
from mirada.search.batch import with_all_texts_encoded
from mirada.search.choice import Choice, Collapse, Order
from mirada.search.found import Found
from mirada.search.queries import QueryKind, Source
from mirada.search.request import TEXT_ALONE, WEIGHTS_OF, Part, SearchRequest
from webapp.callers.asking import asked_by_caller, pager_of_caller
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime
from webapp.http.errors import told_problem
from webapp.http.json_replies import ready
from webapp.http.paging import Reply, with_next
from webapp.http.query_parts import asks_anything, parts_of
from webapp.http.rest import (
    LINK_HEADER,
    MIN_CHANGE_SEQ,
    ApiBlueprint,
    json_fields,
    multipart_fields,
)
from webapp.schemas.fusion import FUSED_EXAMPLE, SearchedSchema, searched_body
from webapp.schemas.how_many import DEFAULT_RESULTS
from webapp.schemas.search import (
    SEARCH_EXAMPLE,
    MultipartSearchSchema,
    PictureQuerySchema,
    SearchAddressSchema,
    SearchSchema,
)
from webapp.schemas.search_batch import (
    ANSWERS_EXAMPLE,
    BATCH_EXAMPLE,
    SearchAnswersSchema,
    SearchBatchSchema,
    loaded_queries,
)

blueprint = ApiBlueprint(
    "search", __name__, url_prefix="/api/v1/search", description="Find pictures"
)
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
                "several parts": {
                    "value": {
                        "query": [
                            {"image_id": 17},
                            {"text": "a red hat", "weight": 1.5},
                            {"text": "dog", "weight": -1},
                        ]
                    }
                },
                "signs": {"value": {"text": 'cat -dog "red hat"', "syntax": "signs"}},
                "some of them": {
                    "value": {"text": "a cat", "filter": {"kind": "still", "shape": ["square"]}}
                },
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
    refusals=(400, 403, 404, 409, 410, 413, 415, 422),
    requestBody=REQUEST_BODY,
    parameters=[MIN_CHANGE_SEQ],
)
@blueprint.response(
    200,
    SearchedSchema,
    headers=LINK_HEADER,
    examples={"pictures": {"value": SEARCH_EXAMPLE}, "fused": {"value": FUSED_EXAMPLE}},
)
def search_images() -> Any:
    """Best first, among the images the caller may see.

    Send exactly one of text, image_id, picture (one that you keep to ask with), vector and query, as
    JSON; or a file, as multipart/form-data. A
    `query` has several parts with weights. Those above 0 are blended, each by how far it stands
    out; what stands out as like a part below 0 loses similarity, and moves down. A text with
    `"syntax": "signs"` is such a query: `cat -dog "red hat"`. Images that a query names are no results.
    `similarity` is the cosine; `relevance` and `is_relevant` say whether a result is what was asked
    for; `relevant_count` and `verdict` say it of the whole, and never contradict the results.
    With `in` set to `prompts` the prompts are compared, by their meaning, instead of what the
    pictures show; with a text, `captions` compares captions by their meaning, and `keywords` looks
    for words.

    A text with `in` set to `all`, or with `weights`, asks several sources and fuses their
    rankings: what pictures show, prompts and captions by meaning, and the words of prompts and
    captions as they are written, without regard to case and accents. `captions` and `keywords`
    alone are answered in the same form. Each result then carries
    `score` and says who found it; `threshold` cuts the vector sources and not the words; an
    image that has every word of the text makes the verdict `relevant`. A source that cannot
    be searched just now is in `left_out` with the reason; only when none is left is that an error.

    `next` is the address of the next page, which `cursor` asks for here as well: alone, or with the
    very search that gave it.
    """
    if request.mimetype == "multipart/form-data":
        query = multipart_fields(MultipartSearchSchema)
    else:
        query = json_fields(
            SearchSchema, "Send the query as application/json, or a picture as multipart/form-data."
        )
    return _reply(_answered(query, query["filter"], request.get_json(silent=True) or {}))


@blueprint.get("")
@blueprint.operation(
    "getSearch",
    "Search by an address, or get the next page of a search",
    refusals=(403, 404, 409, 410, 422),
    parameters=[MIN_CHANGE_SEQ],
)
@blueprint.arguments(SearchAddressSchema, location="query")
@blueprint.response(
    200,
    SearchedSchema,
    headers=LINK_HEADER,
    examples={"pictures": {"value": SEARCH_EXAMPLE}, "fused": {"value": FUSED_EXAMPLE}},
)
def get_search(query: dict[str, Any]) -> Any:
    """The same as POST for what fits into an address, with the filter's conditions as parameters.

    Send exactly one of text, image_id and picture, or a cursor. Images that come and go between
    pages neither repeat nor hide another one.
    The rest of a search is ranked once, for its second page: the 5,000 best. Each page shows what
    the caller may see now. A ranking is kept for ten minutes; then its cursors answer 410, and the
    search begins again without one.
    """
    return _reply(_answered(query, query, request.args))


@blueprint.post("/batch")
@blueprint.operation(
    "searchBatch",
    "Ask several searches at once",
    refusals=(400, 403, 413, 415, 422),
    parameters=[MIN_CHANGE_SEQ],
)
@blueprint.arguments(SearchBatchSchema, location="json", example=BATCH_EXAMPLE)
@blueprint.response(200, SearchAnswersSchema, example=ANSWERS_EXAMPLE)
def search_batch(batch: dict[str, Any]) -> Any:
    """1 to 16 searches as `POST /api/v1/search` takes them in JSON, answered in their order.

    Each has an answer or a problem of its own: one that is wrong, or that cannot be answered now,
    does not hold up the others. The texts of all of them are encoded together.
    """
    asked = asked_by_caller()
    given, wrong = loaded_queries(batch["queries"])
    with_all_texts_encoded(current_runtime(), _requests_in(given.values()), asked.audience)
    answers = []
    for place in range(len(batch["queries"])):
        try:
            if place in wrong:
                raise wrong[place]
            query, raw = given[place]
            body, _ = _body(_answered(query, query["filter"], raw))
            answers.append({"status": 200, "answer": body, "problem": None})
        except MiradaError as error:
            told = told_problem(error)
            answers.append({"status": told["status"], "answer": None, "problem": told})
    return ready({"answers": answers})


def _requests_in(given: Iterable[tuple[dict[str, Any], Any]]) -> Iterator[SearchRequest]:
    """Yield the searches that can be asked at all; what is wrong with others is told in their answer."""
    for query, _ in given:
        with suppress(MiradaError):
            if "cursor" not in query:
                asked = asked_by_caller(query["filter"], own_alone=query["mine"])
                yield request_of(query, asked)


def _answered(
    query: dict[str, Any], conditions: Mapping[str, Any] | None, sent: Mapping[str, Any]
) -> Found:
    """Return the first page of a search, or the one that its cursor names.

    Args:
        query: validated fields.
        conditions: those of the filter.
        sent: what the client sent, by its names.
    """
    runtime, pager = current_runtime(), pager_of_caller()
    asked = asked_by_caller(conditions, own_alone=query["mine"])
    if "cursor" not in query:
        return pages.first_page(runtime, request_of(query, asked), pager)
    # Whoever sends the search again with its cursor learns where it is another one.
    is_alone = sent.keys() <= {"cursor", "k", "limit"}
    if not is_alone and not asks_anything(query):
        message = "Send the cursor alone, with another limit, or with the very search that gave it."
        raise InvalidInput(message, fields={"cursor": [message]})
    accepts = any_search if is_alone else pages.same_search(request_of(query, asked))
    return pages.next_page(runtime, query["cursor"], pager, accepts, query["k"] or query["limit"])


def any_search(_: SearchRequest) -> bool:
    """Return that a cursor which came alone may be of any search."""
    return True


def _reply(found: Found) -> Reply:
    return with_next(*_body(found))


def _body(found: Found) -> tuple[dict[str, Any], str | None]:
    """Return the fields of `SearchedSchema`, and the address of the next page."""
    caller = current_caller()
    body = searched_body(found, caller.user_id, is_administrator=caller.is_administrator)
    address = found.cursor and url_for("search.get_search", cursor=found.cursor)
    return {**body, "next": address}, address


def request_of(query: dict[str, Any], asked: Asked) -> SearchRequest:
    """Return the validated fields of `SearchSchema` as a search.

    Raises:
        InvalidInput: there is not exactly one question, or one that cannot be asked there.
    """
    parts = parts_of(query)
    weights = query.get("weights") or WEIGHTS_OF.get(query["in_"])
    _require_fitting(query, parts, weights)
    return SearchRequest(
        parts,
        asked,
        query["k"] or query["limit"] or DEFAULT_RESULTS,
        Source.PICTURES if weights else Source(query["in_"]),
        weights,
        query["threshold"],
        Choice(
            query["collapse"] and Collapse(query["collapse"]),
            query["diversify"],
            newest_first=query["sort"] == Order.NEWEST,
        ),
        query["explain"],
    )


def _require_fitting(
    query: dict[str, Any], parts: Sequence[Part], weights: Mapping[str, float] | None
) -> None:
    """Raise InvalidInput for a question that cannot be asked of what is to be compared."""
    kinds = {part.kind for part in parts if part.weight > 0}
    if weights and QueryKind.TEXT not in kinds:
        message = TEXT_ALONE
        raise InvalidInput(message, fields={"weights" if query.get("weights") else "in": [message]})
    if QueryKind.PICTURE in {part.kind for part in parts} and query["in_"] == Source.PROMPTS:
        message = "A picture cannot be compared with prompts; send text, image_id or vector."
        raise InvalidInput(message, fields={"in": [message]})
