"""Changes of many images: what may be asked, and what became of them."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma
from marshmallow import validate

from mirada.batches.batches import AT_ONCE, TOLD_FAILURES, Outcome
from mirada.batches.doing import Name
from mirada.kernel.ids import LARGEST_ID
from webapp.schemas.filters import filter_field
from webapp.schemas.numbers import WholeField
from webapp.schemas.replies import ReplySchema

ASKED = [each.value for each in Name if each is not Name.MERGE]
"""Duplicates are merged at an address of their own."""
UNDO_TOKEN = "k3WcZc6z0oJm7T1uHk0Zk1G8V5cYqgO0yq3dQy2h1aA"  # noqa: S105 - an example
BATCH_EXAMPLE = {
    "action": "add_tags",
    "done": 2,
    "failed_count": 1,
    "failed": [
        {"id": 9, "code": "not_found", "detail": "There is no image 9, or it is not yours to see."}
    ],
    "undo": UNDO_TOKEN,
    "undo_url": f"/api/v1/undo/{UNDO_TOKEN}",
    "job_id": None,
    "job_url": None,
    "state": "done",
    "undone": 0,
    "left": [],
}


class ManyImagesSchema(ma.Schema):
    """An action for many images: `ids`, or all of the caller's own that meet a `filter`."""

    class Meta:
        """Tell what a field alone cannot."""

        rules: ClassVar = {"oneOf": [{"required": ["ids"]}, {"required": ["filter"]}]}

    ids = ma.fields.List(
        WholeField(validate=validate.Range(1, LARGEST_ID)),
        load_default=None,
        validate=validate.Length(1, AT_ONCE),
        metadata={
            "description": f"Up to {AT_ONCE} images; one that is not the caller's fails alone."
        },
    )
    filter = filter_field()
    action = ma.fields.String(required=True, validate=validate.OneOf(ASKED))
    value = ma.fields.Raw(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "For `set_visibility` `public` or `private`, for tags a list of them, for "
            "`rename_tag` the tag and its new name, for packs the id of a pack of the caller's; the "
            "other actions take none."
        },
    )

    @ma.validates_schema
    def _says_which(self, data: dict[str, Any], **_: Any) -> None:
        if (data.get("ids") is None) == (data.get("filter") is None):
            raise ma.ValidationError("Send either ids or filter.", "ids")


class LeftAloneSchema(ReplySchema):
    """An image that was left alone."""

    id = ma.fields.Integer(required=True)
    code = ma.fields.String(
        required=True, metadata={"description": "As problems have it, or `changed_since`."}
    )
    detail = ma.fields.String(required=True)


class ManyChangedSchema(ReplySchema):
    """A change of many images, as far as it is done."""

    action = ma.fields.String(required=True)
    done = ma.fields.Integer(
        required=True,
        metadata={"description": "Images that are as they were to be, also if they were before."},
    )
    failed_count = ma.fields.Integer(required=True)
    failed = ma.fields.List(
        ma.fields.Nested(LeftAloneSchema),
        required=True,
        metadata={
            "description": f"The first {TOLD_FAILURES} images that were left alone, and why."
        },
    )
    undo = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "Names this change, for its sender alone, as long as it can be undone; null "
            "where nothing was changed that could be."
        },
    )
    undo_url = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "GET tells this again, POST undoes it."},
    )
    job_id = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "Of the job that does it."}
    )
    job_url = ma.fields.String(required=True, allow_none=True)
    state = ma.fields.String(
        required=True, validate=validate.OneOf(["running", "done", "undoing", "undone"])
    )
    undone = ma.fields.Integer(
        required=True, metadata={"description": "Images that were set back."}
    )
    left = ma.fields.List(
        ma.fields.Nested(LeftAloneSchema),
        required=True,
        metadata={
            "description": f"The first {TOLD_FAILURES} images that were not set back: changed since, or gone."
        },
    )


def batch_body(outcome: Outcome, undo_url: str | None, job_url: str | None) -> dict[str, Any]:
    """Return the fields for `ManyChangedSchema`."""
    if outcome.is_undone:
        state = "undoing" if outcome.to_undo else "undone"
    else:
        state = "done" if outcome.is_ended else "running"
    return {
        "action": outcome.action,
        "done": outcome.done,
        "failed_count": outcome.failed_count,
        "failed": [_failure(each) for each in outcome.failed],
        "undo": outcome.undo,
        "undo_url": undo_url,
        "job_id": outcome.job_id,
        "job_url": job_url,
        "state": state,
        "undone": outcome.undone,
        "left": [_failure(each) for each in outcome.left],
    }


def _failure(failure: Any) -> dict[str, Any]:
    return {"id": failure.image_id, "code": failure.code, "detail": failure.detail}
