"""A change of the image model."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.model_switch.reporting import Missing, SwitchReport
from webapp.schemas.jobs import JOB_EXAMPLE, JobSchema, job_body
from webapp.schemas.replies import ReplySchema, ResourceSchema, page_of
from webapp.schemas.switches import SwitchField

STATES = ("building", "ready", "flipping", "flipped", "returning", "discarding", "ended")
_NOW = {
    "model": "mirada-stickers/sha256-0123456789ab",
    "dimension": 256,
    "vectors": 5000,
    "vector_bytes": 5120000,
    "text_ms": 2.1,
    "picture_ms": 9.4,
}
SWITCH_EXAMPLE = {
    "id": 1,
    "url": "/api/v1/models/switch",
    "created_at": "2026-01-02T03:04:05+00:00",
    "state": "ready",
    "step": None,
    "outcome": None,
    "error": None,
    "model": "xlm-roberta-base-ViT-B-32",
    "pretrained": "laion5b_s13b_b90k",
    "from_space": "image:mirada-stickers:sha256-0123456789ab:openclip-64-bicubic-v1",
    "to_space": "image:xlm-roberta-base-ViT-B-32:laion5b_s13b_b90k:openclip-224-bicubic-v1",
    "in_use": "image:mirada-stickers:sha256-0123456789ab:openclip-64-bicubic-v1",
    "missing_count": 0,
    "processes": 3,
    "ready_processes": 3,
    "lagging_processes": 0,
    "is_prepared": True,
    "next_step": "Put it into use.",
    "job": JOB_EXAMPLE | {"kind": "switch_model", "subject_id": 1, "space_id": None},
    "comparison": {
        "overlap_at_10": {
            "texts": 0.31,
            "newest_pictures": 0.62,
            "sampled_pictures": 0.6,
            "queries": 192,
        },
        "evaluation": None,
        "now": _NOW,
        "then": _NOW
        | {
            "model": "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k",
            "dimension": 512,
            "vector_bytes": 10240000,
            "memory_bytes": 1600000000,
        },
    },
    "flipped_at": None,
    "ended_at": None,
}
MISSING_EXAMPLE = {
    "id": 7,
    "content_id": 12,
    "image_ids": [15],
    "reason": "Its file is gone.",
}


class NewSwitchSchema(ma.Schema):
    """A model that is to take the place of the one in use."""

    model = ma.fields.String(
        required=True,
        validate=validate.Length(1, 500),
        metadata={
            "description": "`production`, `bundled`, a name that OpenCLIP knows, with or without `/` and "
            "its weights, or a folder on the server."
        },
    )
    pretrained = ma.fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, 500),
        metadata={"description": "The weights of an OpenCLIP name."},
    )
    flip = SwitchField(
        load_default=False,
        metadata={
            "description": "Put it into use as soon as it is ready, without a look at the comparison."
        },
    )


class OverlapSchema(ReplySchema):
    """The mean share of the ten nearest that both models have; null where nothing was asked."""

    texts = ma.fields.Float(required=True, allow_none=True)
    newest_pictures = ma.fields.Float(required=True, allow_none=True)
    sampled_pictures = ma.fields.Float(required=True, allow_none=True)
    queries = ma.fields.Integer(required=True)


class CostsSchema(ReplySchema):
    """The costs of a model here."""

    model = ma.fields.String(required=True)
    dimension = ma.fields.Integer(required=True)
    vectors = ma.fields.Integer(required=True)
    vector_bytes = ma.fields.Integer(required=True)
    text_ms = ma.fields.Float(required=True, allow_none=True)
    picture_ms = ma.fields.Float(required=True, allow_none=True)
    memory_bytes = ma.fields.Integer(
        allow_none=True,
        metadata={
            "description": "By how much a process grew when it loaded the model; null: not measured."
        },
    )


class JudgedSchema(ReplySchema):
    """Both models by people's judged queries."""

    queries = ma.fields.Integer(required=True)
    ndcg_at_10_now = ma.fields.Float(required=True)
    ndcg_at_10_then = ma.fields.Float(required=True)
    recall_at_10_now = ma.fields.Float(required=True)
    recall_at_10_then = ma.fields.Float(required=True)
    ndcg_at_10_change = ma.fields.List(
        ma.fields.Float(),
        required=True,
        allow_none=True,
        metadata={"description": "Lower end of the interval, mean, upper end."},
    )


class ComparisonSchema(ReplySchema):
    """Both models on this library."""

    overlap_at_10 = ma.fields.Nested(OverlapSchema, required=True)
    evaluation = ma.fields.Nested(JudgedSchema, required=True, allow_none=True)
    now = ma.fields.Nested(CostsSchema, required=True)
    then = ma.fields.Nested(CostsSchema, required=True)


class SwitchSchema(ResourceSchema):
    """A change of the image model; `job` has its progress."""

    state = ma.fields.String(required=True, validate=validate.OneOf(STATES))
    step = ma.fields.String(required=True, allow_none=True)
    outcome = ma.fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(("switched", "cancelled", "failed")),
        metadata={"description": "Of one that has ended."},
    )
    error = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "What keeps it just now."}
    )
    model = ma.fields.String(required=True)
    pretrained = ma.fields.String(required=True, allow_none=True)
    from_space = ma.fields.String(required=True)
    to_space = ma.fields.String(required=True, allow_none=True)
    in_use = ma.fields.String(required=True, allow_none=True)
    missing_count = ma.fields.Integer(
        required=True, metadata={"description": "Pictures that could not be embedded again."}
    )
    processes = ma.fields.Integer(
        required=True, metadata={"description": "Processes that were heard of lately."}
    )
    ready_processes = ma.fields.Integer(
        required=True, metadata={"description": "Those of them that have the other model loaded."}
    )
    lagging_processes = ma.fields.Integer(
        required=True,
        metadata={
            "description": "Those that have not followed the last flip yet; 0 within a second."
        },
    )
    is_prepared = ma.fields.Boolean(
        required=True,
        metadata={
            "description": "Whether every process has both models loaded: then a flip, or the way back, is "
            "done in every process when its request is answered, within 2 seconds."
        },
    )
    next_step = ma.fields.String(required=True)
    job = ma.fields.Nested(JobSchema, required=True, allow_none=True)
    comparison = ma.fields.Nested(ComparisonSchema, required=True, allow_none=True)
    flipped_at = ma.fields.DateTime(required=True, allow_none=True)
    ended_at = ma.fields.DateTime(required=True, allow_none=True)


class MissingSchema(ReplySchema):
    """A picture that the other model could not embed."""

    id = ma.fields.Integer(required=True)
    content_id = ma.fields.Integer(required=True)
    image_ids = ma.fields.List(ma.fields.Integer(), required=True)
    reason = ma.fields.String(required=True)


MissingPageSchema = page_of(MissingSchema)


def switch_body(report: SwitchReport) -> dict[str, Any]:
    """Return the fields for `SwitchSchema`."""
    switch = report.switch
    return {
        "id": switch.id,
        "url": url_for("models.get_model_switch"),
        "created_at": switch.created_at,
        "state": switch.state,
        "step": switch.step,
        "outcome": switch.outcome,
        "error": switch.error,
        "model": switch.source,
        "pretrained": switch.source_tag,
        "from_space": report.from_space,
        "to_space": report.to_space,
        "in_use": report.in_use,
        "missing_count": report.missing,
        "processes": report.processes,
        "ready_processes": report.ready_processes,
        "lagging_processes": report.lagging,
        "is_prepared": report.is_prepared,
        "next_step": report.next_step,
        "job": None if report.job is None else job_body(report.job),
        "comparison": switch.comparison,
        "flipped_at": switch.flipped_at,
        "ended_at": switch.ended_at,
    }


def missing_body(missing: Missing) -> dict[str, Any]:
    """Return the fields for `MissingSchema`."""
    return {
        "id": missing.id,
        "content_id": missing.content_id,
        "image_ids": missing.image_ids,
        "reason": missing.reason,
    }
