"""Verdicts as they are given, foreseen and taken back, with their effects."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from mirada.feedback.foreseeing import Foreseen
from webapp.schemas.effects import EFFECT_EXAMPLE, effect_field
from webapp.schemas.feedback import FEEDBACK_EXAMPLE, KeptFeedbackSchema, feedback_body
from webapp.schemas.switches import SwitchField

GIVEN_FEEDBACK_EXAMPLE = {**FEEDBACK_EXAMPLE, "outcome": "created", "effect": EFFECT_EXAMPLE}


def _null_if_foreseen(kind: type[ma.fields.Field[Any]]) -> Any:
    return kind(
        required=True,
        allow_none=True,
        metadata={"description": "null in a dry run of a verdict that is not there."},
    )


class GivenFeedbackSchema(KeptFeedbackSchema):
    """A verdict, the outcome of giving it, and its effect."""

    effect = effect_field()


class ForeseenFeedbackSchema(GivenFeedbackSchema):
    """The same of a verdict that replaced another one, or was not given (`dry_run`)."""

    id = _null_if_foreseen(ma.fields.Integer)
    created_at = _null_if_foreseen(ma.fields.DateTime)
    updated_at = _null_if_foreseen(ma.fields.DateTime)
    url = _null_if_foreseen(ma.fields.String)


class FeedbackQuerySchema(ma.Schema):
    """Whether a verdict is given, or only told of."""

    dry_run = SwitchField(
        load_default=False,
        metadata={"description": "Tell the effect that the verdict would have, and write nothing."},
    )


class UndoingQuerySchema(FeedbackQuerySchema):
    """Whether a verdict is taken back, or only told of, and whether its effect is told."""

    effect = SwitchField(
        load_default=False,
        metadata={"description": "Answer 200 with the effect, where it would be 204."},
    )


def foreseen_body(foreseen: Foreseen) -> dict[str, Any]:
    """Return the fields for `ForeseenFeedbackSchema`, but for the effect."""
    told: dict[str, Any] = dict.fromkeys(
        ("id", "asset_id", "created_at", "updated_at", "url"), None
    )
    if foreseen.standing is not None:
        told = feedback_body(foreseen.standing)
    change = foreseen.change
    return told | {
        "image_hash": foreseen.sha256,
        "theme": change.theme,
        "accepted": change.after,
        "outcome": str(foreseen.outcome),
    }
