"""Delete images, take them out of the trash, and empty it."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response

from mirada.pictures import likes, trash
from mirada.pictures.shown_images import ShownImage
from webapp.api import images
from webapp.callers.asking import current_asker
from webapp.callers.auth import require_user
from webapp.http.current import current_runtime, request_id
from webapp.http.preconditions import image_etag
from webapp.http.rest import CHANGE_SEQ_HEADER, ApiBlueprint
from webapp.schemas.images import IMAGE_EXAMPLE, ImageSchema, image_body
from webapp.schemas.replies import ReplySchema
from webapp.schemas.uploads import DeletionQuerySchema

blueprint = ApiBlueprint(
    "trash", __name__, url_prefix="/api/v1/trash", description="Deleted images, until they are gone"
)


class EmptiedSchema(ReplySchema):
    """What was in the trash."""

    count = ma.fields.Integer(
        required=True, metadata={"description": "Images that are erased, and cannot be restored."}
    )


@images.blueprint.delete("/<id:image_id>")
@images.blueprint.operation(
    "deleteImage",
    "Delete an image",
    refusals=(403, 404, 409, 412, 422),
    parameters=[images.IF_MATCH],
)
@images.blueprint.arguments(DeletionQuerySchema, location="query")
@images.blueprint.response(204, headers=CHANGE_SEQ_HEADER, description="It is gone.")
def delete_image(query: dict[str, Any], image_id: int) -> Any:
    """Nobody sees it any more. Its owner can restore it for TRASH_DAYS days (`restoreImage`).

    With `now` it is erased, also from the trash: its bytes go too, unless another image shows the same
    ones. Its owner may; an administrator may where it is public or hidden. What an administrator deleted
    of somebody else's is hidden as well: its owner can take it back, and not show it to others. They read
    the `reason` as `hidden_reason`; of an erased image it stands in `GET /api/v1/users/me/audit`.
    """
    committed = trash.remove(
        current_runtime(),
        image_id,
        current_asker(),
        expected_version=images.version_wanted(image_id),
        is_now=query["now"],
        reason=query["reason"],
    )
    return Response(status=204, headers=images.change_seq_header(committed))


@images.blueprint.post("/<id:image_id>/restore")
@images.blueprint.operation("restoreImage", "Take an image out of the trash", refusals=(403, 404))
@images.blueprint.response(
    200, ImageSchema, example=IMAGE_EXAMPLE, headers={**images.ETAG_HEADER, **CHANGE_SEQ_HEADER}
)
def restore_image(image_id: int) -> Any:
    """It is as it was: likes, comments, verdicts and its place in groups are there again.

    The addresses of its pictures are new ones. Its owner may; an administrator may where it is hidden.
    """
    asker, runtime = current_asker(), current_runtime()
    image, committed = trash.restore(runtime, image_id, asker, request_id())
    with runtime.reading() as session:
        liked = likes.liked_among(session, asker.user_id, [image_id])
    shown = ShownImage.of(image, asker.user_id, liked=image_id in liked)
    headers = {"ETag": f'"{image_etag(shown)}"'} | images.change_seq_header(committed)
    return image_body(shown), 200, headers


@blueprint.delete("")
@blueprint.operation("emptyTrash", "Erase everything in the trash", refusals=(403,))
@blueprint.response(202, EmptiedSchema, example={"count": 3})
def empty_trash() -> Any:
    """The caller's own. Nothing is in it any more at once; a job erases the files shortly after."""
    return {"count": trash.empty(current_runtime(), require_user().id, request_id())}
