"""Classifications: questions and results."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.db.classifier_models import ClassifiedPicture
from mirada.kernel.asset_ids import checked_asset_id
from mirada.kernel.labels import normalised_name
from mirada.search.found import MAX_K
from webapp.schemas.labels import (
    CheckedField,
    label_names,
    templates_field,
)
from webapp.schemas.numbers import WholeField
from webapp.schemas.replies import PageQuerySchema, ReplySchema, page_of
from webapp.schemas.rules import never, none_of, together, without
from webapp.schemas.switches import SwitchField
from webapp.schemas.texts import ASSET_ID, THEME

MAX_BATCH_IMAGES = 1_000
"""Images of one job that are named: its row holds their ids."""
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
RESULT_EXAMPLE = {
    "category": "cat",
    "confidence": 0.91,
    "top_labels": [
        {"label": "cat", "score": 0.91, "logit": 28.4, "clip_score": 0.91, "applies": None}
    ],
    "entropy": 0.52,
    "confidence_margin": 0.86,
    "ambiguous": False,
    "none_of_these": False,
    "nsfw_score": 0.02,
    "is_nsfw": False,
}
CLASSIFICATION_EXAMPLE = {
    **RESULT_EXAMPLE,
    "raw_logits": {"cat": 28.4, "dog": 25.3},
    "llm_expansion": {
        "subtags": ["kitten", "tabby"],
        "style_traits": ["flat colours"],
        "emotions": ["joy"],
        "pack_suggestions": ["Cute pets"],
        "descriptions": ["a smiling cat"],
    },
    "llm_expansion_status": "ready",
    "similar_images": [
        {"image_hash": "60303ae2" + _HASH[8:], "asset_id": "a-6", "similarity": 0.9}
    ],
    "image_hash": _HASH,
    "asset_id": "a-7",
    "theme": "pets",
    "theme_affinity": 0.62,
    "theme_verdicts": 3,
    "probabilities": None,
}
REMEMBERED_EXAMPLE = {
    "image_hash": _HASH,
    "asset_id": "a-7",
    "theme": "pets",
    "job_id": None,
    "result": RESULT_EXAMPLE,
    "created_at": "2026-01-02T03:04:05+00:00",
    "updated_at": "2026-01-02T03:04:05+00:00",
    "url": f"/api/v1/classifications/{_HASH}",
}


class QuestionSchema(ma.Schema):
    """Labels, templates and thresholds of a classification; all may be left out."""

    labels = label_names()
    templates = templates_field("Prompt templates, instead of the labels' own.")
    label_descriptions = SwitchField(
        metadata={
            "description": "What labels are described by joins their prompts. Left out: the setting "
            "LABEL_DESCRIPTIONS."
        }
    )
    nsfw_threshold = ma.fields.Float(
        validate=validate.Range(0, 1),
        metadata={"description": "Least nsfw_score that is is_nsfw. Left out: NSFW_THRESHOLD."},
    )


class PictureQuestionSchema(QuestionSchema):
    """The same with fields of one picture."""

    asset_id = CheckedField(
        checked_asset_id, metadata=ASSET_ID | {"description": "Your own name for the picture."}
    )
    theme = CheckedField(
        normalised_name,
        metadata=THEME | {"description": "Its feedback moves scores; a label or not."},
    )
    similar_threshold = ma.fields.Float(
        validate=validate.Range(-1, 1),
        metadata={"description": "Least cosine of a similar image; 0.85, or SIMILARITY_THRESHOLD."},
    )
    similar_limit = ma.fields.Integer(
        validate=validate.Range(0, MAX_K),
        metadata={"description": "Most similar images; SIMILARITY_LIMIT."},
    )
    probabilities = SwitchField(
        load_default=False,
        metadata={
            "description": "Also say of every label by itself how probable it is; calibrated for "
            "models that were trained with a sigmoid."
        },
    )


class JsonClassificationSchema(PictureQuestionSchema):
    """Classify a stored image."""

    image_id = WholeField(
        required=True,
        validate=validate.Range(1, 2**63 - 1),
        metadata={"description": "An image that you may see."},
    )


class LabelScoreSchema(ReplySchema):
    """One label."""

    label = ma.fields.String(required=True)
    score = ma.fields.Float(
        required=True, metadata={"description": "In [0, 1], feedback included; sums to 1 over all."}
    )
    logit = ma.fields.Float(required=True, metadata={"description": "Scale x cosine + bias."})
    clip_score = ma.fields.Float(
        required=True, metadata={"description": "The encoder's own probability."}
    )
    applies = ma.fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "The score reaches the label's threshold; null if it has none."},
    )


class ResultSchema(ReplySchema):
    """The result of a classification."""

    category = ma.fields.String(required=True)
    confidence = ma.fields.Float(required=True, metadata={"description": "Its score."})
    top_labels = ma.fields.List(ma.fields.Nested(LabelScoreSchema), required=True)
    entropy = ma.fields.Float(required=True, metadata={"description": "Of all scores, in bits."})
    confidence_margin = ma.fields.Float(required=True)
    ambiguous = ma.fields.Boolean(required=True)
    none_of_these = ma.fields.Boolean(
        required=True,
        metadata={"description": "No label is nearer than texts that have nothing to do with it."},
    )
    nsfw_score = ma.fields.Float(
        required=True, allow_none=True, metadata={"description": "null with NSFW_POLICY=off."}
    )
    is_nsfw = ma.fields.Boolean(required=True)


class SimilarImageHashSchema(ReplySchema):
    """A similar picture, of any owner."""

    image_hash = ma.fields.String(required=True)
    asset_id = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "As you called it."}
    )
    similarity = ma.fields.Float(required=True, metadata={"description": "Cosine in [-1, 1]."})


class ExpansionSchema(ReplySchema):
    """The expansion of a label by a language model."""

    subtags = ma.fields.List(ma.fields.String(), required=True)
    style_traits = ma.fields.List(ma.fields.String(), required=True)
    emotions = ma.fields.List(ma.fields.String(), required=True)
    pack_suggestions = ma.fields.List(ma.fields.String(), required=True)


class ClassificationSchema(ResultSchema):
    """The result of a classification, with similar pictures."""

    raw_logits = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.Float(), required=True)
    llm_expansion = ma.fields.Nested(ExpansionSchema, required=True, allow_none=True)
    llm_expansion_status = ma.fields.String(
        required=True, validate=validate.OneOf(["ready", "pending", "failed", "off"])
    )
    similar_images = ma.fields.List(ma.fields.Nested(SimilarImageHashSchema), required=True)
    image_hash = ma.fields.String(required=True, metadata={"description": "SHA-256, hex."})
    asset_id = ma.fields.String(required=True, allow_none=True)
    theme = ma.fields.String(required=True, allow_none=True)
    theme_affinity = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "In [0, 1]: how well verdicts say it fits the theme; null without."
        },
    )
    theme_verdicts = ma.fields.Integer(
        required=True, metadata={"description": "How many verdicts that rests on."}
    )
    probabilities = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.Float(), required=True, allow_none=True
    )


class RememberedSchema(ReplySchema):
    """A picture that was classified."""

    image_hash = ma.fields.String(required=True)
    asset_id = ma.fields.String(required=True, allow_none=True)
    theme = ma.fields.String(required=True, allow_none=True)
    job_id = ma.fields.Integer(required=True, allow_none=True)
    result = ma.fields.Nested(ResultSchema, required=True, allow_none=True)
    created_at = ma.fields.DateTime(required=True)
    updated_at = ma.fields.DateTime(required=True)
    url = ma.fields.String(required=True)


RememberedPageSchema = page_of(RememberedSchema, is_terse=True)


class RememberedListQuerySchema(PageQuerySchema):
    """The page of classifications to list."""

    job_id = ma.fields.Integer(
        load_default=None,
        validate=validate.Range(1, 2**63 - 1),
        metadata={"description": "Only what this job classified."},
    )


class BatchSchema(QuestionSchema):
    """The stored images to classify, and the question."""

    class Meta:
        """Tell which fields go together."""

        rules: ClassVar = never(
            none_of("image_ids", "all"),
            together("image_ids", all={"const": True}),
            without("image_ids", together(all={"const": False})),
        )

    image_ids = ma.fields.List(
        WholeField(validate=validate.Range(1, 2**63 - 1)),
        validate=validate.Length(1, MAX_BATCH_IMAGES),
        metadata={"description": f"1 to {MAX_BATCH_IMAGES} images that you may see."},
    )
    all = SwitchField(load_default=False, metadata={"description": "Every image of your own."})

    @ma.validates_schema
    def _one_of_both(self, data: dict[str, Any], **_: Any) -> None:
        if ("image_ids" in data) == data["all"]:
            raise ma.ValidationError("Send either image_ids or all=true.", "image_ids")


def remembered_body(row: ClassifiedPicture) -> dict[str, Any]:
    """Return the fields for `RememberedSchema`; the row's content is loaded."""
    return {
        "image_hash": row.content.sha256,
        "asset_id": row.asset_id,
        "theme": row.theme,
        "job_id": row.job_id,
        "result": row.result,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "url": url_for("classifications.get_classification", image_hash=row.content.sha256),
    }
