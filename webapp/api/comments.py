"""Comments under an image: write, list, read and delete them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.db.memory_models import Comment
from mirada.pictures import comments
from mirada.pictures.comments import MAX_COMMENT_CHARACTERS
from webapp.callers.auth import current_caller, require_user
from webapp.http.creations import idempotency_key, made, made_headers, once_parameters
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import ApiBlueprint
from webapp.schemas.images import OwnerSchema
from webapp.schemas.replies import HOW_MANY, ResourceSchema, page_of
from webapp.schemas.texts import SEEN

COMMENT_EXAMPLE = {
    "id": 5,
    "text": "What a cat!",
    "author": {"id": 2, "username": "ana"},
    "created_at": "2026-01-02T03:04:05+00:00",
    "url": "/api/v1/images/17/comments/5",
}


class NewCommentSchema(ma.Schema):
    """A new comment."""

    text = ma.fields.String(
        required=True,
        validate=validate.Length(min=1),
        metadata={
            "maxLength": MAX_COMMENT_CHARACTERS,
            "pattern": SEEN,
            "description": f"Plain text of 1 to {MAX_COMMENT_CHARACTERS:,} characters after "
            "trimming. It is kept in NFC, without control characters other than newlines.",
        },
    )


class CommentSchema(ResourceSchema):
    """A comment under an image."""

    text = ma.fields.String(
        required=True,
        metadata={"description": "Plain text, markup included: escape it where you show it."},
    )
    author = ma.fields.Nested(OwnerSchema, required=True)


CommentPageSchema = page_of(CommentSchema, comment_count=HOW_MANY)


def comment_body(comment: Comment) -> dict[str, Any]:
    """Return the fields for `CommentSchema`; the comment's author is loaded."""
    return {
        "id": comment.id,
        "text": comment.body,
        "author": {"id": comment.user.id, "username": comment.user.username},
        "created_at": comment.created_at,
        "url": url_for("comments.get_comment", image_id=comment.image_id, comment_id=comment.id),
    }


blueprint = ApiBlueprint(
    "comments", __name__, url_prefix="/api/v1/images", description="What people say of an image"
)


@blueprint.get("/<id:image_id>/comments")
@blueprint.pages(
    "listComments",
    "List comments, oldest first",
    CommentPageSchema,
    example=COMMENT_EXAMPLE,
    beside={"comment_count": 1},
    refusals=(404,),
)
def list_comments(query: PageQuery, image_id: int) -> Listed[Any]:
    """For whoever may see the image."""
    caller = current_caller()
    with current_runtime().reading() as session:
        found = comments.list_comments(session, image_id, caller.audience, **query.bounds)
    beside = {"comment_count": found.comment_count}
    return Listed(found.comments, comment_body, beside=beside)


@blueprint.post("/<id:image_id>/comments")
@blueprint.operation(
    "writeComment",
    "Write a comment",
    refusals=(400, 404, 409, 413, 415, 422),
    parameters=once_parameters("one key writes one comment"),
)
@blueprint.arguments(NewCommentSchema, location="json", example={"text": "What a cat!"})
@blueprint.response(
    201,
    CommentSchema,
    example=COMMENT_EXAMPLE,
    headers=made_headers("Where the comment is.", "wrote the comment"),
)
def write_comment(fields: dict[str, Any], image_id: int) -> Any:
    """Under an image that the caller may see."""
    user = require_user()
    written = comments.post_comment(
        current_runtime().database,
        image_id,
        user.id,
        fields["text"],
        idempotency_key=idempotency_key(),
    )
    return made(comment_body(written.comment), was_replayed=written.was_replayed)


@blueprint.get("/<id:image_id>/comments/<id:comment_id>")
@blueprint.operation("getComment", "Read a comment", refusals=(404,))
@blueprint.response(200, CommentSchema, example=COMMENT_EXAMPLE)
def get_comment(image_id: int, comment_id: int) -> Any:
    """For whoever may see the image."""
    caller = current_caller()
    with current_runtime().reading() as session:
        return comment_body(comments.get_comment(session, image_id, comment_id, caller.audience))


@blueprint.delete("/<id:image_id>/comments/<id:comment_id>")
@blueprint.operation("deleteComment", "Delete a comment", refusals=(404,))
@blueprint.response(204)
def delete_comment(image_id: int, comment_id: int) -> None:
    """Its author may, the image's owner, and an administrator who may see the image.

    Anybody else is told that there is no such comment.
    """
    user, is_administrator = require_user(), current_caller().is_administrator
    comments.remove_comment(
        current_runtime().database,
        image_id,
        comment_id,
        user.id,
        is_administrator=is_administrator,
    )
