"""Comments and lists of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.pictures.comments import MAX_COMMENT_CHARACTERS
from webapp.schemas.images import OwnerSchema
from webapp.schemas.replies import HOW_MANY, ReplySchema, page_of

if TYPE_CHECKING:
    from mirada.db.memory_models import Comment

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
            "description": f"Plain text of 1 to {MAX_COMMENT_CHARACTERS:,} characters after "
            "trimming. It is kept in NFC, without control characters other than newlines."
        },
    )


class CommentSchema(ReplySchema):
    """A comment under an image."""

    id = ma.fields.Integer(required=True)
    text = ma.fields.String(
        required=True,
        metadata={"description": "Plain text, markup included: escape it where you show it."},
    )
    author = ma.fields.Nested(OwnerSchema, required=True)
    created_at = ma.fields.DateTime(required=True)
    url = ma.fields.String(required=True)


CommentPageSchema = page_of(CommentSchema, comment_count=HOW_MANY)


def comment_body(comment: Comment) -> dict[str, Any]:
    """Return the fields for `CommentSchema`; the comment's author is loaded."""
    return {
        "id": comment.id,
        "text": comment.body,
        "author": {"id": comment.user.id, "username": comment.user.username},
        "created_at": comment.created_at,
        "url": url_for("comments.CommentItem", image_id=comment.image_id, comment_id=comment.id),
    }
