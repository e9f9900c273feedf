"""Likes: give one, take it back, list those of an image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import marshmallow as ma

from mirada.pictures import likes
from mirada.pictures.likes import Liker
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import ApiBlueprint
from webapp.schemas.images import OwnerSchema
from webapp.schemas.replies import HOW_MANY, ReplySchema, page_of

LIKER_EXAMPLE = {
    "user": {"id": 2, "username": "ana"},
    "created_at": "2026-01-02T03:04:05+00:00",
}


class LikeStateSchema(ReplySchema):
    """The caller's like of an image, and the number of likes."""

    liked = ma.fields.Boolean(required=True)
    like_count = ma.fields.Integer(required=True)


class LikerSchema(ReplySchema):
    """A user who likes an image, and since when."""

    user = ma.fields.Nested(OwnerSchema, required=True)
    created_at = ma.fields.DateTime(required=True)


LikerPageSchema = page_of(LikerSchema, like_count=HOW_MANY)


def liker_body(liker: Liker) -> dict[str, Any]:
    """Return the fields for `LikerSchema`."""
    return {
        "user": {"id": liker.user_id, "username": liker.username},
        "created_at": liker.since,
    }


blueprint = ApiBlueprint(
    "likes", __name__, url_prefix="/api/v1/images", description="Who likes an image"
)


@blueprint.put("/<id:image_id>/like")
@blueprint.operation("likeImage", "Like an image", refusals=(404,))
@blueprint.response(200, LikeStateSchema, example={"liked": True, "like_count": 4})
def like_image(image_id: int) -> Any:
    """One that the caller may see. Twice counts once."""
    user = require_user()
    count = likes.give_like(current_runtime().database, image_id, user.id)
    return {"liked": True, "like_count": count}


@blueprint.delete("/<id:image_id>/like")
@blueprint.operation("unlikeImage", "Take a like back", refusals=(404,))
@blueprint.response(200, LikeStateSchema, example={"liked": False, "like_count": 3})
def unlike_image(image_id: int) -> Any:
    """The same answer whether there was one or not.

    A like of an image that its owner has made private since stays counted, and can be taken
    back when the caller may see the image again.
    """
    user = require_user()
    count = likes.take_like_back(current_runtime().database, image_id, user.id)
    return {"liked": False, "like_count": count}


@blueprint.get("/<id:image_id>/likes")
@blueprint.pages(
    "listLikes",
    "List who likes an image",
    LikerPageSchema,
    example=LIKER_EXAMPLE,
    beside={"like_count": 1},
    refusals=(404,),
)
def list_likes(query: PageQuery, image_id: int) -> Listed[Any]:
    """For whoever may see the image, by user id, so that no like moves another to a new page."""
    caller = current_caller()
    with current_runtime().reading() as session:
        found = likes.list_likers(session, image_id, caller.audience, **query.bounds)
    beside = {"like_count": found.like_count}
    return Listed(found.likers, liker_body, lambda liker: liker.user_id, beside)


def liked_in(shown: Iterable[Any]) -> frozenset[int]:
    """Return the ids of the images that the caller likes; none for an anonymous caller.

    Args:
        shown: results or members, each with its `image`.
    """
    viewer_id = current_caller().user_id
    if viewer_id is None:
        return frozenset()
    with current_runtime().reading() as session:
        return likes.liked_among(session, viewer_id, [each.image.id for each in shown])
