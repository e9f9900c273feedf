"""The labels of one image."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import url_for

from mirada.classify.labels_of_image import LabelledImage
from webapp.schemas.classifications import RESULT_EXAMPLE, LabelScoreSchema, ResultSchema
from webapp.schemas.replies import ReplySchema

IMAGE_LABELS_EXAMPLE = {
    **RESULT_EXAMPLE,
    "top_labels": [
        {
            "label": "cat",
            "score": 0.91,
            "logit": 28.4,
            "clip_score": 0.93,
            "applies": True,
            "threshold": 0.4,
        }
    ],
    "image_id": 17,
    "model": "mirada-stickers-photos/1",
    "computed_at": "2026-01-02T03:04:05+00:00",
    "judged": [{"id": 31, "theme": "cat", "accepted": True, "url": "/api/v1/feedback/31"}],
}


class ImageLabelSchema(LabelScoreSchema):
    """One label of an image."""

    threshold = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Least score from which the label applies; null if it has none."},
    )


class OwnVerdictSchema(ReplySchema):
    """One of the caller's verdicts on the picture."""

    id = ma.fields.Integer(required=True)
    theme = ma.fields.String(required=True)
    accepted = ma.fields.Boolean(required=True)
    url = ma.fields.String(required=True)


class ImageLabelsSchema(ResultSchema):
    """An image's labels, of the default set."""

    image_id = ma.fields.Integer(required=True)
    top_labels = ma.fields.List(ma.fields.Nested(ImageLabelSchema), required=True)
    model = ma.fields.String(
        required=True, metadata={"description": "The encoder that looked at the picture."}
    )
    computed_at = ma.fields.DateTime(
        required=True,
        metadata={"description": "When it did. Verdicts given since then are in the scores."},
    )
    judged = ma.fields.List(
        ma.fields.Nested(OwnVerdictSchema),
        required=True,
        metadata={"description": "The caller's own verdicts on this picture, newest first."},
    )


def image_labels_body(labelled: LabelledImage) -> dict[str, Any]:
    """Return the fields for `ImageLabelsSchema`."""
    summary = labelled.classifier.summary(labelled.found)
    thresholds = {label.name: label.threshold for label in labelled.classifier.labels}
    return {
        **summary,
        "top_labels": [
            each | {"threshold": thresholds[each["label"]]} for each in summary["top_labels"]
        ],
        "image_id": labelled.image_id,
        "model": labelled.model,
        "computed_at": labelled.computed_at,
        "judged": [
            {
                "id": row.id,
                "theme": row.theme,
                "accepted": row.accepted,
                "url": url_for("feedback.get_feedback", feedback_id=row.id),
            }
            for row in labelled.verdicts
        ],
    }
