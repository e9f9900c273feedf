"""Duplicates: groups of images that are the same, as each caller sees them, and what becomes of them."""

from __future__ import annotations

from typing import Any

from flask import Response

from mirada.duplicates import deciding, seen, told, twins
from mirada.kernel.audience import Scope
from mirada.kernel.duplicates import Tier
from mirada.pictures import images
from mirada.pictures.shown_images import shown_images
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import ApiBlueprint
from webapp.schemas.duplicates import (
    GROUP_EXAMPLE,
    SHOWN,
    TWIN_EXAMPLE,
    DuplicateDecisionSchema,
    DuplicatePageSchema,
    DuplicatesQuerySchema,
    NoDuplicatesSchema,
    TwinsSchema,
    group_body,
    twin_body,
)

blueprint = ApiBlueprint(
    "duplicates", __name__, url_prefix="/api/v1", description="Images that are the same"
)


@blueprint.get("/duplicates")
@blueprint.pages(
    "listDuplicates",
    "List groups of duplicates, newest first",
    DuplicatePageSchema,
    query=DuplicatesQuerySchema,
    example=GROUP_EXAMPLE,
    beside={"waiting": 0},
)
def list_duplicates(query: PageQuery) -> Listed[Any]:
    """Groups that hold an image of the caller's, with others' public ones among them.

    What one sees alone of a group is no group. What one said are no duplicates is taken apart.
    """
    user = require_user()
    with current_runtime().reading() as session:
        tier = Tier(query.filters["tier"])
        groups = seen.list_groups(session, tier, user.id, **query.bounds)
        shown = told.shown_of(session, groups, user.id, SHOWN)
        waiting = told.count_waiting(session, user.id)
    return Listed(
        groups,
        lambda group: group_body(group, shown, told.best_own(group, shown, user.id)),
        beside={"waiting": waiting},
    )


@blueprint.post("/duplicates/<id:image_id>")
@blueprint.operation(
    "keepDuplicates", "Say that a group's images are no duplicates", refusals=(400, 404, 415, 422)
)
@blueprint.arguments(DuplicateDecisionSchema, example={"tier": "near", "others": "keep"})
@blueprint.response(200, NoDuplicatesSchema, example={"count": 2})
def keep_duplicates(decision: dict[str, Any], image_id: int) -> Any:
    """Of the group that an image is in, for the caller alone: its images stay, and are no group any more.

    An image that comes later is compared with them all the same. DELETE forgets it.
    """
    user, database = require_user(), current_runtime().database
    return {"count": deciding.are_none(database, Tier(decision["tier"]), user.id, image_id)}


@blueprint.delete("/duplicates/<id:image_id>")
@blueprint.operation(
    "forgetDuplicates", "Forget that an image was said to have no duplicates", refusals=(404,)
)
@blueprint.response(204, description="It is in its groups again.")
def forget_duplicates(image_id: int) -> Any:
    """What the caller said of it, in any tier."""
    deciding.forget(current_runtime().database, require_user().id, image_id)
    return Response(status=204)


@blueprint.get("/images/<id:image_id>/duplicates")
@blueprint.operation("listDuplicatesOfImage", "List an image's duplicates", refusals=(404,))
@blueprint.response(200, TwinsSchema, example={"results": [TWIN_EXAMPLE], "is_compared": True})
def list_duplicates_of_image(image_id: int) -> Any:
    """The same file, and the same picture in other bytes, as far as the caller may see them.

    A new image is compared with the others some seconds after it is READY.
    """
    audience = current_caller().audience
    with current_runtime().reading() as session:
        images.see_image(session, image_id, audience)
        found = twins.twins_of(session, image_id, audience)
        shown = shown_images(session, [twin.image_id for twin in found], Scope(audience))
        is_compared = told.is_compared(session, image_id)
    results = [twin_body(each, shown[each.image_id]) for each in found if each.image_id in shown]
    return {"results": results, "is_compared": is_compared}
