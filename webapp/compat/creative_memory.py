"""The creative memory: related images and style suggestions, path for path."""

from __future__ import annotations

from typing import Any

from mirada.kernel.external_ids import CREATIVE_MEMORY
from mirada.memory.taste import taste
from mirada.pictures import external_ids
from mirada.search.related import RelatedRequest, related_images
from webapp.callers.asking import asked_by_caller
from webapp.callers.auth import require_user
from webapp.http.current import current_runtime
from webapp.http.rest import MIN_CHANGE_SEQ, ApiBlueprint
from webapp.schemas.similar import (
    GALLERY_EXAMPLE,
    GalleryQuerySchema,
    GallerySchema,
    gallery_body,
)
from webapp.schemas.styles import (
    SUGGESTION_EXAMPLE,
    SuggestionsQuerySchema,
    SuggestionsSchema,
    suggestion_body,
)

blueprint = ApiBlueprint(
    "creative_memory",
    __name__,
    url_prefix="/api",
    ignores_unknown=True,
    description="Routes of the creative memory",
)


@blueprint.get("/images/<external:known_as>/related")
@blueprint.operation(
    "listGalleryRelated",
    "Find images related to one, in the gallery's form",
    refusals=(404, 409, 422),
    parameters=[MIN_CHANGE_SEQ],
)
@blueprint.arguments(GalleryQuerySchema, location="query")
@blueprint.response(200, GallerySchema, example=GALLERY_EXAMPLE)
def list_gallery_related(query: dict[str, Any], known_as: str) -> Any:
    """Best first, never the image itself; empty while it has no vector.

    What was imported is known by the ids it had before, images and people alike.
    """
    asked = asked_by_caller(own_alone=query["mine"])
    runtime = current_runtime()
    with runtime.reading() as session:
        known = external_ids.image_known_as(
            session, known_as, asked.audience.whole(), CREATIVE_MEMORY
        )
    request = RelatedRequest(known, asked, query["limit"], query["blend"])
    found = related_images(runtime, request)
    return gallery_body(found.results)


@blueprint.get("/users/me/style-suggestions")
@blueprint.operation(
    "listStyleSuggestions",
    "Find the styles that recur in your prompts",
    refusals=(422,),
)
@blueprint.arguments(SuggestionsQuerySchema, location="query")
@blueprint.response(200, SuggestionsSchema, example={"count": 1, "results": [SUGGESTION_EXAMPLE]})
def list_style_suggestions(query: dict[str, Any]) -> Any:
    """The surest first: known styles by their words and meaning, and styles of your own.

    Others' prompts count as rates alone: no word, prompt or id of theirs is ever in the reply.
    """
    found = taste(current_runtime(), require_user().id).styles[: query["limit"]]
    return {"count": len(found), "results": [suggestion_body(style) for style in found]}
