"""The effect of a verdict."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from mirada.classify.verdict_effect import LEAST_MOVED, MOST_EXAMPLES, MOST_LOOKED_AT, Effect
from webapp.schemas.images import IMAGE_EXAMPLE, ImageSchema, image_body
from webapp.schemas.replies import ReplySchema

EFFECT_EXAMPLE = {
    "affinity_before": 0.5,
    "affinity_after": 0.71,
    "score_before": 0.76,
    "score_after": 0.81,
    "looked_at": 200,
    "moved": 14,
    "would_now_apply": 3,
    "would_no_longer_apply": 0,
    "examples": [{"image": IMAGE_EXAMPLE, "score_before": 0.31, "score_after": 0.44}],
}


class MovedImageSchema(ReplySchema):
    """An image whose score the verdict moves."""

    image = ma.fields.Nested(ImageSchema, required=True)
    score_before = ma.fields.Float(required=True)
    score_after = ma.fields.Float(required=True)


class EffectSchema(ReplySchema):
    """The effect of a verdict: on its own picture, and on others that the caller may see."""

    affinity_before = ma.fields.Float(
        required=True,
        metadata={"description": "What people alone say of the picture; 0.5 is nothing said."},
    )
    affinity_after = ma.fields.Float(required=True)
    score_before = ma.fields.Float(
        required=True,
        metadata={
            "description": "Of the picture: of a label its score, of another theme the affinity."
        },
    )
    score_after = ma.fields.Float(required=True)
    looked_at = ma.fields.Integer(
        required=True,
        metadata={
            "description": "How many others were looked at: those most like it that the caller may "
            f"see, {MOST_LOOKED_AT} at most, fewer where the labels have thousands of verdicts."
        },
    )
    moved = ma.fields.Integer(
        required=True,
        metadata={"description": f"How many of them change by {LEAST_MOVED} or more."},
    )
    would_now_apply = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "To how many of them the theme applies by the verdict: a label's score "
            "reaches its threshold, or is the first where it has none; another theme's affinity "
            "reaches the fitted threshold. null while none can be fitted."
        },
    )
    would_no_longer_apply = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "The other way round."}
    )
    examples = ma.fields.List(
        ma.fields.Nested(MovedImageSchema),
        required=True,
        metadata={"description": f"The {MOST_EXAMPLES} of them that change most."},
    )


class UndoneSchema(ReplySchema):
    """The effect of taking a verdict back."""

    effect = ma.fields.Nested(EffectSchema, required=True, allow_none=True)


def effect_field() -> ma.fields.Nested:
    """Return the documented field of a verdict's effect."""
    return ma.fields.Nested(
        EffectSchema,
        required=True,
        allow_none=True,
        metadata={
            "description": "null while the picture has no vector, the default labels are not "
            "encoded, or nothing is learned (ENABLE_ADAPTIVE_SCORING)."
        },
    )


def effect_body(effect: Effect | None) -> dict[str, Any] | None:
    """Return the fields for `EffectSchema`."""
    if effect is None:
        return None
    return {
        "affinity_before": effect.affinity_before,
        "affinity_after": effect.affinity_after,
        "score_before": effect.score_before,
        "score_after": effect.score_after,
        "looked_at": effect.looked_at,
        "moved": effect.moved,
        "would_now_apply": effect.would_now_apply,
        "would_no_longer_apply": effect.would_no_longer_apply,
        "examples": [
            {
                "image": image_body(moved.image),
                "score_before": moved.score_before,
                "score_after": moved.score_after,
            }
            for moved in effect.examples
        ],
    }
