"""Duplicates: groups of images that are the same, as each caller sees them, and what becomes of them."""

from __future__ import annotations

from typing import Any

from flask import Response

from mirada.batches import duplicates as merging
from mirada.batches.doing import Asker
from mirada.duplicates import deciding, seen, told, twins
from mirada.kernel.audience import Scope
from mirada.kernel.duplicates import Tier
from mirada.pictures import images
from mirada.pictures.shown_images import shown_images
from webapp.api.batches import outcome_reply
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime, request_id
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import CHANGE_SEQ_HEADER, ApiBlueprint, header
from webapp.schemas.batches import ManyChangedSchema
from webapp.schemas.duplicates import (
    GROUP_EXAMPLE,
    KEEP,
    MERGED_EXAMPLE,
    RUNNING_EXAMPLE,
    SHOWN,
    TWIN_EXAMPLE,
    AllDuplicatesSchema,
    DecidedSchema,
    DuplicateDecisionSchema,
    DuplicatePageSchema,
    DuplicatesQuerySchema,
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
    "decideDuplicates", "Merge a group, or say that it is none", refusals=(400, 404, 409, 415, 422)
)
@blueprint.arguments(
    DuplicateDecisionSchema, example={"tier": "near", "others": "delete", "keep": 12}
)
@blueprint.alt_response(
    202,
    schema=DecidedSchema,
    description="A job merges them: they are more than 500.",
    example={"count": 0, "merged": RUNNING_EXAMPLE},
    headers={"Location": header("What became of it.")},
)
@blueprint.response(
    200, DecidedSchema, example={"count": 2, "merged": MERGED_EXAMPLE}, headers=CHANGE_SEQ_HEADER
)
def decide_duplicates(decision: dict[str, Any], image_id: int) -> Any:
    """Decide on the group that an image is in.

    `keep` is for the caller alone: its images stay, and are no group any more. An image that comes later
    is compared with them all the same. DELETE forgets it.

    `delete` merges images of the caller's own into the one of them that is kept. They go into the trash.
    Their likes, tags, comments, places in packs with emojis and the caller's verdicts go to it, and
    prompt, caption, `asset_id` and old id where it has none. What is written on a private image stays
    there where the kept one is public. `merged.undo_url` undoes exactly that. 409 without a trash.
    """
    user, runtime, tier = require_user(), current_runtime(), Tier(decision["tier"])
    if decision["others"] == KEEP:
        count = deciding.are_none(runtime.database, tier, user.id, image_id)
        return {"count": count, "merged": None}
    outcome = merging.merge_group(
        runtime,
        tier,
        Asker(user.id),
        image_id,
        keep=decision["keep"],
        others=decision["ids"],
        request_id=request_id(),
    )
    body, status, headers = outcome_reply(outcome)
    return {"count": outcome.done, "merged": body}, status, headers


@blueprint.post("/duplicates")
@blueprint.operation(
    "mergeAllDuplicates", "Keep the best of every group", refusals=(400, 409, 415, 422)
)
@blueprint.arguments(AllDuplicatesSchema, example={"tier": "same_file", "others": "delete"})
@blueprint.alt_response(
    202,
    schema=ManyChangedSchema,
    description="A job merges them: they are more than 500.",
    example=RUNNING_EXAMPLE,
    headers={"Location": header("What became of it.")},
)
@blueprint.response(200, ManyChangedSchema, example=MERGED_EXAMPLE, headers=CHANGE_SEQ_HEADER)
def merge_all_duplicates(decision: dict[str, Any]) -> Any:
    """Each group of the caller's own images as `delete` merges one, into the best.

    Of `near`, animations are left as they are: they are compared by their first frame alone.

    Which image goes into which is settled when it is asked for; a job keeps to it. An image that was
    deleted meanwhile, or whose best one was, is left alone and told. Asked for again, what is left is merged.
    """
    user, tier = require_user(), Tier(decision["tier"])
    outcome = merging.merge_all(current_runtime(), tier, Asker(user.id), request_id())
    return outcome_reply(outcome)


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
