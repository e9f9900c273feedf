"""Likes: the caller's own is put and deleted; who else likes an image is listed."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView

from mirada.db.deadlocks import in_transaction
from mirada.pictures import likes
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime
from webapp.http.pagination import page, row_id_of
from webapp.http.rest import ApiBlueprint, header
from webapp.schemas.ids import ID
from webapp.schemas.likes import (
    LIKER_EXAMPLE,
    LikedSchema,
    LikerListQuerySchema,
    LikerPageSchema,
    liker_body,
)

blueprint = ApiBlueprint(
    "likes", __name__, url_prefix="/api/v1/images", description="Who likes an image"
)


@blueprint.route(f"/<{ID}:image_id>/like")
class OwnLike(MethodView):
    """The caller's like."""

    @blueprint.operation("likeImage", "Like an image", refusals=(404,))
    @blueprint.response(200, LikedSchema, example={"liked": True, "like_count": 4})
    def put(self, image_id: int) -> Any:
        """One that the caller may see. Twice counts once."""
        user = require_user()
        count = in_transaction(
            current_runtime().database, lambda session: likes.like(session, image_id, user.id)
        )
        return {"liked": True, "like_count": count}

    @blueprint.operation("unlikeImage", "Take a like back", refusals=(404,))
    @blueprint.response(200, LikedSchema, example={"liked": False, "like_count": 3})
    def delete(self, image_id: int) -> Any:
        """The same answer whether there was one or not.

        A like of an image that its owner has made private since stays counted, and can be taken
        back when the caller may see the image again.
        """
        user = require_user()
        count = in_transaction(
            current_runtime().database, lambda session: likes.unlike(session, image_id, user.id)
        )
        return {"liked": False, "like_count": count}


@blueprint.route(f"/<{ID}:image_id>/likes")
class Likers(MethodView):
    """Everybody's likes."""

    @blueprint.operation("listLikes", "List who likes an image", refusals=(404, 422))
    @blueprint.arguments(LikerListQuerySchema, location="query")
    @blueprint.response(
        200,
        LikerPageSchema,
        headers={"Link": header("Pages, RFC 8288.")},
        example={"results": [LIKER_EXAMPLE], "count": 1, "like_count": 1, "next": None},
    )
    def get(self, query: dict[str, Any], image_id: int) -> Any:
        """For whoever may see the image, by user id, so that no like moves another to a new page."""
        caller = current_caller()
        with current_runtime().reading() as session:
            found = likes.list_likers(
                session,
                image_id,
                caller.user_id,
                cursor=row_id_of(query["cursor"]),
                limit=query["limit"] + 1,
            )
        shown, following, links = page(
            found.likers, query["limit"], lambda liker: liker.user_id, {}
        )
        body = {
            "results": [liker_body(liker) for liker in shown],
            "count": len(shown),
            "like_count": found.like_count,
            "next": following,
        }
        return body, 200, links
