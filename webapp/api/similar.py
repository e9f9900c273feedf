"""Images like one, related to one, or found by a text as posts; on the blueprint of images."""

from __future__ import annotations

from typing import Any

from flask import request, url_for
from flask.blueprints import BlueprintSetupState

from mirada.kernel.errors import NotFound
from mirada.pictures import external_ids
from mirada.search import pages
from mirada.search.found import Found
from mirada.search.posts import search_posts
from mirada.search.queries import QueryKind
from mirada.search.related import RelatedRequest
from mirada.search.request import Part, SearchRequest
from mirada.search.run import run
from webapp.api.images import blueprint
from webapp.callers.asking import asked_by_caller, pager_of_caller
from webapp.callers.auth import current_caller
from webapp.http import unknown
from webapp.http.current import current_runtime
from webapp.http.paging import with_next
from webapp.http.rest import IGNORED_HEADER, LINK_HEADER, MIN_CHANGE_SEQ, json_fields
from webapp.schemas.search import (
    SEARCH_EXAMPLE,
    FoundSchema,
    found_body,
)
from webapp.schemas.similar import (
    DEFAULT_POSTS,
    IMAGE_POST_EXAMPLE,
    RELATED_EXAMPLE,
    CaptionParametersSchema,
    CaptionQuerySchema,
    ImagePostSchema,
    RelatedPageQuerySchema,
    RelatedSchema,
    SimilarPageQuerySchema,
    SimilarPostsQuerySchema,
    image_post,
    related_body,
)


@blueprint.get("/<id:image_id>/similar")
@blueprint.operation(
    "listSimilarImages",
    "Find images like this one",
    refusals=(404, 409, 410, 422),
    parameters=[MIN_CHANGE_SEQ],
)
@blueprint.arguments(SimilarPageQuerySchema, location="query")
@blueprint.response(200, FoundSchema, example=SEARCH_EXAMPLE, headers=LINK_HEADER)
def list_similar_images(query: dict[str, Any], image_id: int) -> Any:
    """Best first, never the image itself. Pages are as those of `POST /api/v1/search`."""
    runtime, pager, search = current_runtime(), pager_of_caller(), _search(image_id, query)
    if "cursor" in query:
        same = pages.same_search(search)

        def accepts(other: SearchRequest) -> bool:
            return other.parts == search.parts if _came_alone() else same(other)

        found = pages.next_page(runtime, query["cursor"], pager, accepts, _limit(query))
    else:
        found = pages.first_page(runtime, search, pager)
    body = found_body(found, current_caller().user_id)
    return with_next(body, _next_address(found.cursor))


@blueprint.post("/<id:image_id>/similar")
@blueprint.operation(
    "findSimilarImagePosts",
    "Find images like this one, as a plain list",
    refusals=(403, 404, 409, 422),
    parameters=[MIN_CHANGE_SEQ],
    ignores_unknown=True,
)
@blueprint.arguments(SimilarPostsQuerySchema, location="query")
@blueprint.response(
    200, ImagePostSchema(many=True), example=[IMAGE_POST_EXAMPLE], headers=IGNORED_HEADER
)
def find_similar_image_posts(query: dict[str, Any], image_id: int | str) -> Any:
    """The same as GET in the short form; the body is ignored.

    A post that was imported is asked for, and told, by the id that it had before.
    """
    audience, called = current_caller().audience, str(image_id)
    with current_runtime().reading() as session:
        known = external_ids.post_known_as(session, called, audience)
    known = image_id if known is None and isinstance(image_id, int) else known
    if known is None or request.method != "POST":
        raise NotFound(f"There is no image {called[:100]}, or it is not yours to see.")
    return _posts(_similar(known, query).results)


@blueprint.record
def _take_ids_of_before(state: BlueprintSetupState) -> None:
    """Let the same operation take ids of before that are no numbers: clients of the API have none."""
    state.add_url_rule(
        "/<external:image_id>/similar",
        endpoint="find_similar_image_posts",
        methods=["GET", "POST"],
    )


@blueprint.get("/<id:image_id>/related")
@blueprint.operation(
    "listRelatedImages",
    "Find images related by picture and prompt",
    refusals=(404, 409, 410, 422),
    parameters=[MIN_CHANGE_SEQ],
)
@blueprint.arguments(RelatedPageQuerySchema, location="query")
@blueprint.response(200, RelatedSchema, example=RELATED_EXAMPLE, headers=LINK_HEADER)
def list_related_images(query: dict[str, Any], image_id: int) -> Any:
    """Best first, never the image itself; an empty list while it has no vector.

    Pages are as those of `POST /api/v1/search`, of the 1,000 best.
    """
    runtime, pager = current_runtime(), pager_of_caller()
    asked = asked_by_caller(query, own_alone=query["mine"])
    wanted = RelatedRequest(image_id, asked, query["limit"], query["blend"])
    if "cursor" in query:
        same = pages.same_related(wanted)

        def accepts(other: RelatedRequest) -> bool:
            return other.image_id == image_id if _came_alone() else same(other)

        found = pages.next_related(runtime, query["cursor"], pager, accepts, _limit(query))
    else:
        found = pages.first_related(runtime, wanted, pager)
    body = related_body(found)
    return with_next(body, _next_address(found.cursor))


@blueprint.post("/search")
@blueprint.operation(
    "searchImagePosts",
    "Search posts by what is said of them and what they show, as a plain list",
    refusals=(400, 403, 409, 413, 415, 422),
    parameters=[MIN_CHANGE_SEQ],
    requestBody={
        "required": False,
        "content": {
            "application/json": {
                "schema": CaptionQuerySchema,
                "example": {"query": "a cat that looks cool", "limit": 10},
            }
        },
    },
    ignores_unknown=True,
)
@blueprint.arguments(CaptionParametersSchema, location="query")
@blueprint.response(
    200, ImagePostSchema(many=True), example=[IMAGE_POST_EXAMPLE], headers=IGNORED_HEADER
)
def search_image_posts(parameters: dict[str, Any]) -> Any:
    """Best first, among all embedded images that the caller may see.

    Captions, a model's descriptions and the pictures themselves are compared with the text, and their
    rankings fused. Where a language model's server embeds captions, every question to them costs a
    little: callers without a key find by the pictures alone then.

    `query` and `limit` are query parameters or fields of a JSON body; the body's count where both
    are sent.
    """
    asked = {"limit": DEFAULT_POSTS} | parameters | _json_question("query" in parameters)
    found = search_posts(current_runtime(), asked["query"], asked_by_caller(), asked["limit"])
    return _posts(found)


def _json_question(is_asked: bool) -> dict[str, Any]:
    """Return the fields of the JSON body, if there is one.

    Args:
        is_asked: whether the address holds the question, so that the body may lack it.
    """
    if is_asked and not (request.is_json and request.content_length):
        return {}
    given = json_fields(
        CaptionQuerySchema(partial=is_asked),
        "Send the question in the address, as ?query=a%20cat&limit=10, or as application/json.",
    )
    return {name: given[name] for name in given if name in request.get_json()}


def _posts(results: list[Any]) -> Any:
    """Return the reply of the short list form."""
    if request.mimetype in ("multipart/form-data", "application/x-www-form-urlencoded"):
        unknown.check("form field", request.form, ())
    # A list has no field of its own, so each post tells the names.
    told = unknown.ignored_field()
    return [image_post(each) | told for each in results], 200, unknown.ignored_header()


def _similar(image_id: int, query: dict[str, Any]) -> Found:
    return run(current_runtime(), _search(image_id, query))


def _search(image_id: int, query: dict[str, Any]) -> SearchRequest:
    part = Part(QueryKind.IMAGE_ID, image_id)
    asked = asked_by_caller(query, own_alone=query.get("mine", False))
    return SearchRequest((part,), asked, query["limit"], threshold=query["threshold"])


def _came_alone() -> bool:
    """Return whether nothing but the page is asked for."""
    return request.args.keys() <= {"cursor", "limit"}


def _limit(query: dict[str, Any]) -> int | None:
    """Return how many results a further page is to have; None for as many as the one before."""
    return query["limit"] if "limit" in request.args else None


def _next_address(cursor: str | None) -> str | None:
    """Return the address of the next page of the same list, as it was asked for."""
    if cursor is None:
        return None
    asked = {**(request.view_args or {}), **request.args.to_dict(flat=False), "cursor": cursor}
    return url_for(request.endpoint or "", **asked)
