"""Feedback: verdicts, and what was learned from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from webapp.schemas.images import MAX_PAGE, ReplySchema

if TYPE_CHECKING:
    from mirada.db.classifier_models import Feedback

FEEDBACK_EXAMPLE = {
    "id": 31,
    "image_hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "theme": "cute cats",
    "accepted": True,
    "asset_id": "sticker-7",
    "created_at": "2026-01-02T03:04:05+00:00",
    "updated_at": "2026-01-02T03:04:05+00:00",
    "url": "/api/v1/feedback/31",
}
NEW_FEEDBACK_EXAMPLE = {
    "image_hash": FEEDBACK_EXAMPLE["image_hash"],
    "theme": "Cute cats",
    "accepted": True,
    "asset_id": "sticker-7",
}


class VerdictField(ma.fields.Boolean):
    """true or false and nothing that might mean one of them: "no", taken for true, would be learned."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any
    ) -> bool:
        if not isinstance(value, bool):
            raise ma.ValidationError("Must be true or false.")
        return value


class NewFeedbackSchema(ma.Schema):
    """A verdict: does this picture belong to this theme?"""

    image_hash = ma.fields.String(
        required=True,
        validate=validate.Length(min=1),
        metadata={"description": "SHA-256 of the picture's bytes, hex."},
    )
    theme = ma.fields.String(
        required=True,
        validate=validate.Length(min=1),
        metadata={
            "description": "Any name of up to 100 characters, a label or not. Capitals and spaces "
            "make no difference."
        },
    )
    accepted = VerdictField(
        required=True, metadata={"description": "true: it belongs. false: it does not."}
    )
    asset_id = ma.fields.String(
        load_default=None,
        allow_none=True,
        metadata={"description": "What you call the picture, up to 191 characters."},
    )


class FeedbackSchema(ReplySchema):
    """One of the caller's verdicts as it stands."""

    id = ma.fields.Integer(required=True)
    image_hash = ma.fields.String(required=True)
    theme = ma.fields.String(required=True)
    accepted = ma.fields.Boolean(required=True)
    asset_id = ma.fields.String(required=True, allow_none=True)
    created_at = ma.fields.DateTime(required=True)
    updated_at = ma.fields.DateTime(
        required=True, metadata={"description": "When the verdict was last changed."}
    )
    url = ma.fields.String(required=True)


class GivenFeedbackSchema(FeedbackSchema):
    """A verdict, and what giving it came to."""

    outcome = ma.fields.String(
        required=True,
        validate=validate.OneOf(["created", "replaced", "unchanged"]),
        metadata={"description": "unchanged: the same verdict had been given; it counts once."},
    )


class FeedbackPageSchema(ReplySchema):
    """One page of the caller's verdicts, newest first."""

    results = ma.fields.List(ma.fields.Nested(FeedbackSchema), required=True)
    count = ma.fields.Integer(required=True, metadata={"description": "How many this page holds."})
    next = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Address of the next page."}
    )


class PageQuerySchema(ma.Schema):
    """Which page."""

    limit = ma.fields.Integer(load_default=20, validate=validate.Range(1, MAX_PAGE))
    cursor = ma.fields.String(
        load_default=None, metadata={"description": "From `next` of the page before."}
    )


class FeedbackListQuerySchema(PageQuerySchema):
    """Which verdicts to list."""

    theme = ma.fields.String(
        load_default=None, metadata={"description": "Only the verdicts on this theme."}
    )


def feedback_body(row: Feedback) -> dict[str, Any]:
    """Return the fields for `FeedbackSchema`."""
    return {
        "id": row.id,
        "image_hash": row.content.sha256,
        "theme": row.theme,
        "accepted": row.accepted,
        "asset_id": row.asset_id,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "url": url_for("feedback.FeedbackItem", feedback_id=row.id),
    }
