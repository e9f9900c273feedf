"""The pictures in a pack, and suggestions for it; on the blueprint of packs."""

from __future__ import annotations

from typing import Any

from mirada.packs import choices, members
from mirada.packs.self_filled import images_of_pack
from mirada.packs.suggesting import suggestions_for
from webapp.api.packs import ETAG_HEADER, IF_MATCH, answered, blueprint, version_named
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime, request_id
from webapp.http.paging import Listed, PageQuery
from webapp.schemas.pack_images import (
    MEMBER_EXAMPLE,
    PackAdditionSchema,
    PackImageChangeSchema,
    PackImagePageSchema,
    PackImageSchema,
    PackImagesQuerySchema,
    PackOrderSchema,
    member_body,
)
from webapp.schemas.pack_suggestions import (
    CHOICE_EXAMPLE,
    SUGGESTIONS_EXAMPLE,
    ChosenSchema,
    PackChoiceSchema,
    SuggestionsForPackSchema,
    SuggestionsQuerySchema,
    chosen_body,
    suggestions_body,
)
from webapp.schemas.packs import PACK_EXAMPLE, PackSchema

CHANGED = (400, 404, 409, 412, 415, 422)
"""Refusals of what changes the pictures of a pack."""


@blueprint.get("/<id:pack_id>/images")
@blueprint.pages(
    "listPackImages",
    "List the pictures of a pack, in its order",
    PackImagePageSchema,
    query=PackImagesQuerySchema,
    example=MEMBER_EXAMPLE,
    refusals=(404, 409, 410),
)
def list_pack_images(query: PageQuery, pack_id: int) -> Listed[Any]:
    """Those that the caller may see. A pack that fills itself is filled as the caller finds."""
    found = images_of_pack(
        current_runtime(),
        pack_id,
        current_caller().audience,
        request_id=request_id(),
        **query.bounds,
    )
    return Listed(found, member_body)


@blueprint.post("/<id:pack_id>/images")
@blueprint.operation(
    "addPackImages", "Put pictures into a pack", refusals=CHANGED, parameters=[IF_MATCH]
)
@blueprint.arguments(PackAdditionSchema, example={"image_ids": [17, 21], "emojis": {"17": ["😀"]}})
@blueprint.response(200, PackSchema, example=PACK_EXAMPLE, headers=ETAG_HEADER)
def add_pack_images(fields: dict[str, Any], pack_id: int) -> Any:
    """At its end, or before another picture. Those that are in it stay where they are."""
    user = require_user()
    return answered(
        members.add_images(
            current_runtime().database,
            pack_id,
            user.id,
            fields["image_ids"],
            at=fields["at"],
            emojis=fields["emojis"],
            expected_version=version_named(pack_id),
        )
    )


@blueprint.put("/<id:pack_id>/images")
@blueprint.operation(
    "orderPackImages",
    "Say which pictures a pack has, in order",
    refusals=CHANGED,
    parameters=[IF_MATCH],
)
@blueprint.arguments(PackOrderSchema, example={"image_ids": [21, 17]})
@blueprint.response(200, PackSchema, example=PACK_EXAMPLE, headers=ETAG_HEADER)
def order_pack_images(fields: dict[str, Any], pack_id: int) -> Any:
    """Pictures that are left out leave the pack. Send If-Match where two may work on it at once."""
    user = require_user()
    return answered(
        members.order_images(
            current_runtime().database,
            pack_id,
            user.id,
            fields["image_ids"],
            emojis=fields["emojis"],
            expected_version=version_named(pack_id),
        )
    )


@blueprint.patch("/<id:pack_id>/images/<id:image_id>")
@blueprint.operation(
    "changePackImage",
    "Change the emojis or the place of a picture in a pack",
    refusals=CHANGED,
    parameters=[IF_MATCH],
)
@blueprint.arguments(PackImageChangeSchema, example={"emojis": ["😀", "🐱"], "at": 0})
@blueprint.response(200, PackImageSchema, example=MEMBER_EXAMPLE)
def change_pack_image(fields: dict[str, Any], pack_id: int, image_id: int) -> Any:
    """A search for an emoji finds the picture: its owner's own pack, and everybody's if it is public."""
    user = require_user()
    return member_body(
        members.change_member(
            current_runtime().database,
            pack_id,
            user.id,
            image_id,
            emojis=fields["emojis"],
            at=fields["at"],
            expected_version=version_named(pack_id),
        )
    )


@blueprint.delete("/<id:pack_id>/images/<id:image_id>")
@blueprint.operation(
    "removePackImage",
    "Take a picture out of a pack",
    refusals=(404, 409, 412),
    parameters=[IF_MATCH],
)
@blueprint.response(200, PackSchema, example=PACK_EXAMPLE, headers=ETAG_HEADER)
def remove_pack_image(pack_id: int, image_id: int) -> Any:
    """The picture stays where it came from."""
    user = require_user()
    return answered(
        members.remove_image(
            current_runtime().database,
            pack_id,
            user.id,
            image_id,
            expected_version=version_named(pack_id),
        )
    )


@blueprint.get("/<id:pack_id>/suggestions")
@blueprint.operation("listPackSuggestions", "Get suggestions for a pack", refusals=(404, 409, 422))
@blueprint.arguments(SuggestionsQuerySchema, location="query")
@blueprint.response(200, SuggestionsForPackSchema, example=SUGGESTIONS_EXAMPLE)
def list_pack_suggestions(query: dict[str, Any], pack_id: int) -> Any:
    """Titles, and pictures like those in it that its owner sees, moved by verdicts for its theme."""
    require_user()
    found = suggestions_for(current_runtime(), pack_id, current_caller().audience, query["limit"])
    return suggestions_body(found)


@blueprint.put("/<id:pack_id>/suggestions/<id:image_id>")
@blueprint.operation(
    "choosePackSuggestion",
    "Take a suggestion into a pack, or reject it",
    refusals=CHANGED,
    parameters=[IF_MATCH],
)
@blueprint.arguments(PackChoiceSchema, example={"accepted": True})
@blueprint.response(200, ChosenSchema, example=CHOICE_EXAMPLE)
def choose_pack_suggestion(fields: dict[str, Any], pack_id: int, image_id: int) -> Any:
    """Also a verdict for the pack's theme, where it has one. What is decided is not suggested again."""
    user = require_user()
    return chosen_body(
        choices.choose(
            current_runtime().database,
            pack_id,
            user.id,
            image_id,
            accepted=fields["accepted"],
            emojis=fields["emojis"],
            expected_version=version_named(pack_id),
        )
    )


@blueprint.delete("/<id:pack_id>/suggestions/<id:image_id>")
@blueprint.operation(
    "undoPackSuggestion",
    "Undo what was decided about a suggestion",
    refusals=(404, 412),
    parameters=[IF_MATCH],
)
@blueprint.response(204)
def undo_pack_suggestion(pack_id: int, image_id: int) -> None:
    """The picture leaves the pack, or may be suggested again; the verdict is what it was before."""
    user = require_user()
    choices.undo_choice(
        current_runtime().database,
        pack_id,
        user.id,
        image_id,
        expected_version=version_named(pack_id),
    )
