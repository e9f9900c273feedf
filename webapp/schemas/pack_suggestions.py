"""Suggestions for packs, and what was decided about them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.packs.choices import Chosen
from mirada.packs.suggesting import Suggested
from webapp.schemas.images import IMAGE_EXAMPLE, ImageSchema, image_body
from webapp.schemas.pack_images import EmojisField
from webapp.schemas.replies import ReplySchema
from webapp.schemas.switches import SwitchField

MOST_SUGGESTED = 100
SUGGESTIONS_EXAMPLE = {
    "titles": ["Cute pets"],
    "results": [{"image": IMAGE_EXAMPLE, "similarity": 0.83}],
    "count": 1,
    "reason": None,
}
CHOICE_EXAMPLE = {
    "image_id": 17,
    "accepted": True,
    "theme": "happy cats",
    "feedback_url": "/api/v1/feedback/9",
    "url": "/api/v1/packs/4/suggestions/17",
}


class SuggestionsQuerySchema(ma.Schema):
    """How many."""

    limit = ma.fields.Integer(load_default=20, validate=validate.Range(1, MOST_SUGGESTED))


class SuggestedImageSchema(ReplySchema):
    """A picture that would fit."""

    image = ma.fields.Nested(ImageSchema, required=True)
    similarity = ma.fields.Float(
        required=True,
        metadata={"description": "Cosine with the middle of the pack, moved by verdicts."},
    )


class SuggestionsForPackSchema(ReplySchema):
    """Titles and pictures that would fit into a pack."""

    titles = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={
            "description": "Names for it, from what a language model said of the labels of its pictures."
        },
    )
    results = ma.fields.List(ma.fields.Nested(SuggestedImageSchema), required=True)
    count = ma.fields.Integer(required=True)
    reason = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Why there are no pictures."}
    )


class PackChoiceSchema(ma.Schema):
    """A decision about a suggestion."""

    accepted = SwitchField(
        required=True,
        metadata={"description": "True takes the picture into the pack, false keeps it out."},
    )
    emojis = EmojisField(load_default=list)


class ChosenSchema(ReplySchema):
    """A suggestion that was taken or rejected."""

    image_id = ma.fields.Integer(required=True)
    accepted = ma.fields.Boolean(required=True)
    theme = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "The pack's; null for none."}
    )
    feedback_url = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The verdict that this gave; null where the pack has no theme, or you had "
            "said the same before."
        },
    )
    url = ma.fields.String(required=True, metadata={"description": "Delete it to undo this."})


def suggestions_body(found: Suggested) -> dict[str, Any]:
    """Return the fields for `SuggestionsForPackSchema`."""
    results = [] if found.found is None else found.found.results
    return {
        "titles": list(found.titles),
        "results": [
            {"image": image_body(each.image), "similarity": each.hit.similarity} for each in results
        ],
        "count": len(results),
        "reason": found.reason,
    }


def chosen_body(chosen: Chosen) -> dict[str, Any]:
    """Return the fields for `ChosenSchema`."""
    given = chosen.feedback_id
    url = url_for("packs.get_pack", pack_id=chosen.pack_id)
    return {
        "image_id": chosen.image_id,
        "accepted": chosen.accepted,
        "theme": chosen.theme,
        "feedback_url": given and url_for("feedback.get_feedback", feedback_id=given),
        "url": f"{url}/suggestions/{chosen.image_id}",
    }
