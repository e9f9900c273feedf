"""The three routes of the classifier of stickers and memes."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from mirada.classify import label_set as labels
from mirada.classify.expansions import expansions_are_on
from mirada.kernel.zero_shot import MARGIN_FLOOR
from mirada.search.like_classified import DEFAULT_THRESHOLD
from webapp.api.classification_replies import classify_upload
from webapp.api.feedback import given_by_caller
from webapp.callers.auth import require_user
from webapp.http.current import current_runtime
from webapp.http.rest import (
    CHANGE_SEQ_HEADER,
    MIN_CHANGE_SEQ,
    ApiBlueprint,
    multipart_body,
    multipart_fields,
)
from webapp.schemas.classification_forms import ForgivingFormSchema, ForgivingPictureFormSchema
from webapp.schemas.classifications import (
    CLASSIFICATION_EXAMPLE,
    ClassificationSchema,
)
from webapp.schemas.feedback import (
    FEEDBACK_EXAMPLE,
    NEW_FEEDBACK_EXAMPLE,
    ForgivingFeedbackSchema,
    KeptFeedbackSchema,
    given_body,
)
from webapp.schemas.replies import ReplySchema

blueprint = ApiBlueprint(
    "classifier", __name__, ignores_unknown=True, description="Routes of the classifier"
)


class DefaultLabelsSchema(ReplySchema):
    """The default labels, the thresholds in force, and what is switched on."""

    labels = ma.fields.List(ma.fields.String(), required=True)
    count = ma.fields.Integer(required=True)
    thresholds = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.Float(), required=True)
    label_thresholds = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.Float(), required=True
    )
    features = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.Boolean(), required=True)
    top_k = ma.fields.Integer(required=True)
    similarity_limit = ma.fields.Integer(required=True)
    adaptive_alpha = ma.fields.Float(required=True)


@blueprint.post("/classify")
@blueprint.operation(
    "classifyPicture",
    "Say what a picture shows",
    refusals=(400, 403, 409, 413, 415, 422),
    requestBody=multipart_body(ForgivingPictureFormSchema, labels='["cat", "dog"]', asset_id="a-7"),
    parameters=[MIN_CHANGE_SEQ],
)
@blueprint.response(
    200, ClassificationSchema, example=CLASSIFICATION_EXAMPLE, headers=CHANGE_SEQ_HEADER
)
def classify_picture() -> Any:
    """Remembered by hash, vector, theme and asset_id; the bytes are not kept.

    `score` includes feedback and sums to 1 over all labels; `clip_score` is the encoder alone.
    """
    require_user()
    body, headers = classify_upload(multipart_fields(ForgivingFormSchema))
    return body, 200, headers


@blueprint.post("/feedback")
@blueprint.operation(
    "sendFeedback", "Say whether a picture belongs to a theme", refusals=(400, 404, 415, 422)
)
@blueprint.arguments(
    ForgivingFeedbackSchema, location="json", example=NEW_FEEDBACK_EXAMPLE, unknown=ma.EXCLUDE
)
@blueprint.response(200, KeptFeedbackSchema, example=FEEDBACK_EXAMPLE | {"outcome": "created"})
def send_feedback(fields: dict[str, Any]) -> Any:
    """The same verdict again counts once; another one replaces it."""
    return given_body(given_by_caller(fields))


@blueprint.get("/labels")
@blueprint.operation("readLabels", "Read the default labels, thresholds and features")
@blueprint.response(
    200,
    DefaultLabelsSchema,
    example={
        "labels": ["happy", "cat"],
        "count": 2,
        "thresholds": {
            "entropy": 2.5,
            "margin": 0.05,
            "nsfw": 0.5,
            "similarity": 0.85,
        },
        "label_thresholds": {"cat": 0.4},
        "features": {
            "embedding_cache": True,
            "clustering": True,
            "adaptive_scoring": True,
            "llm_label_expansion": False,
            "label_descriptions": False,
        },
        "top_k": 5,
        "similarity_limit": 25,
        "adaptive_alpha": 0.4,
    },
)
def read_labels() -> Any:
    """An administrator changes them at /api/v1/labels."""
    runtime = current_runtime()
    settings = runtime.settings
    with runtime.reading() as session:
        default = labels.LABELS.in_force(session)
    similarity = settings.similarity_threshold
    return {
        "labels": [label.name for label in default],
        "count": len(default),
        "thresholds": {
            "entropy": settings.entropy_threshold,
            "margin": MARGIN_FLOOR,
            "nsfw": settings.nsfw_threshold,
            "similarity": DEFAULT_THRESHOLD if similarity is None else similarity,
        },
        "label_thresholds": {
            label.name: label.threshold for label in default if label.threshold is not None
        },
        "features": {
            "embedding_cache": settings.enable_embedding_cache,
            "clustering": settings.enable_clustering,
            "adaptive_scoring": settings.enable_adaptive_scoring,
            "llm_label_expansion": expansions_are_on(runtime),
            "label_descriptions": settings.label_descriptions,
        },
        "top_k": settings.clip_top_k,
        "similarity_limit": settings.similarity_limit,
        "adaptive_alpha": settings.adaptive_alpha,
    }
