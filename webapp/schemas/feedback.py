"""Verdicts, and reports of themes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.classify.theme_reports import ReportedVerdict, ThemeReport
from mirada.db.classifier_models import Feedback
from mirada.feedback.theme_verdicts import Counts
from mirada.feedback.verdicts import Given
from webapp.schemas.replies import PageQuerySchema, ReplySchema, ResourceSchema, page_of
from webapp.schemas.texts import ASSET_ID, THEME

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
THEME_EXAMPLE = {
    "theme": "cute cats",
    "accepted": 9,
    "rejected": 4,
    "people": 3,
    "url": "/api/v1/feedback/themes/cute%20cats",
}
REPORTED_VERDICT_EXAMPLE = {
    "id": 31,
    "image_hash": FEEDBACK_EXAMPLE["image_hash"],
    "accepted": True,
    "is_yours": True,
    "asset_id": "sticker-7",
    "updated_at": "2026-01-02T03:04:05+00:00",
    "affinity": 0.71,
    "score_before": 0.5,
    "score_after": 0.71,
    "contribution": 0.06,
    "labels": [{"label": "cat", "score_before": 0.58, "score_after": 0.64}],
}
THEME_REPORT_EXAMPLE = {**THEME_EXAMPLE, "is_label": False, "counted": 13, "threshold": None}


class VerdictField(ma.fields.Boolean):
    """A JSON boolean; a text such as "no", taken for true, would be learned."""

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
        metadata=THEME
        | {
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
        metadata=ASSET_ID | {"description": "What you call the picture."},
    )


class ForgivingFeedbackSchema(NewFeedbackSchema):
    """The same where fields without a meaning are ignored."""

    class Meta:
        """Take what the classifier took."""

        unknown = ma.EXCLUDE


class FeedbackSchema(ResourceSchema):
    """One of the caller's verdicts as it stands."""

    image_hash = ma.fields.String(required=True)
    theme = ma.fields.String(required=True)
    accepted = ma.fields.Boolean(required=True)
    asset_id = ma.fields.String(required=True, allow_none=True)
    updated_at = ma.fields.DateTime(
        required=True, metadata={"description": "When the verdict was last changed."}
    )


class KeptFeedbackSchema(FeedbackSchema):
    """A verdict, and the outcome of giving it."""

    outcome = ma.fields.String(
        required=True,
        validate=validate.OneOf(["created", "replaced", "unchanged"]),
        metadata={"description": "unchanged: the same verdict had been given; it counts once."},
    )


class FeedbackListQuerySchema(PageQuerySchema):
    """The page of verdicts to list."""

    theme = ma.fields.String(
        load_default=None, metadata=THEME | {"description": "Only the verdicts on this theme."}
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
        "url": url_for("feedback.get_feedback", feedback_id=row.id),
    }


def given_body(given: Given) -> dict[str, Any]:
    """Return the fields for `KeptFeedbackSchema`."""
    return feedback_body(given.feedback) | {"outcome": str(given.outcome)}


class JudgedThemeSchema(ReplySchema):
    """A theme, and how many verdicts the caller gave on it or may see."""

    theme = ma.fields.String(required=True)
    accepted = ma.fields.Integer(required=True)
    rejected = ma.fields.Integer(required=True)
    people = ma.fields.Integer(required=True)
    url = ma.fields.String(required=True)


def _share(description: str) -> ma.fields.Float:
    return ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": f"{description} null while this verdict does not count."},
    )


class LabelShiftSchema(ReplySchema):
    """A label of a picture, and how feedback on the theme moves it."""

    label = ma.fields.String(required=True)
    score_before = ma.fields.Float(
        required=True, metadata={"description": "The encoder's own, in [0, 1]."}
    )
    score_after = ma.fields.Float(
        required=True, metadata={"description": "Of a classification with this theme, in [0, 1]."}
    )


class ReportedVerdictSchema(ReplySchema):
    """A verdict on a picture that the caller may see, and its effect."""

    id = ma.fields.Integer(required=True)
    image_hash = ma.fields.String(required=True)
    accepted = ma.fields.Boolean(required=True)
    is_yours = ma.fields.Boolean(required=True)
    asset_id = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Of your own verdicts; what others call a picture is theirs."},
    )
    updated_at = ma.fields.DateTime(required=True)
    affinity = _share("What the verdicts alone say of this picture, in [0, 1]; 0.5 is nothing.")
    score_before = _share(
        "Without feedback: of a label its clip_score, of another theme 0.5, in [0, 1]."
    )
    score_after = _share("With it: of a label its score, of another theme the affinity.")
    contribution = _share(
        "How much lower the score would be without this verdict, before labels' scores are divided "
        "by their sum."
    )
    labels = ma.fields.List(
        ma.fields.Nested(LabelShiftSchema),
        required=True,
        metadata={
            "description": "Of a theme that is no label: the labels that the picture shows, the "
            "likeliest first, and how a classification with this theme moves them. Empty for a "
            "label, and while this verdict does not count."
        },
    )


ThemeReportSchema = page_of(
    ReportedVerdictSchema,
    name="ThemeReport",
    base=JudgedThemeSchema,
    is_label=ma.fields.Boolean(
        required=True, metadata={"description": "It is in the default label set."}
    ),
    counted=ma.fields.Integer(
        required=True,
        metadata={
            "description": "On how many of these verdicts scores rest: those whose picture has a "
            "vector, the newest first. 0 where adaptive scoring is off."
        },
    ),
    threshold=ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "Affinity from which pictures belong, fitted to everybody's verdicts; "
            "null before there are ten of each kind by three people."
        },
    ),
)


def judged_theme_body(theme: str, counts: Counts) -> dict[str, Any]:
    """Return the fields for `JudgedThemeSchema`."""
    return {
        "theme": theme,
        "accepted": counts.accepted,
        "rejected": counts.rejected,
        "people": counts.people,
        "url": url_for("feedback.get_theme", theme=theme),
    }


def theme_report_body(report: ThemeReport) -> dict[str, Any]:
    """Return the fields for `ThemeReportSchema`, but for those of the page."""
    said = report.said
    return {
        **judged_theme_body(said.theme, said.counts),
        "is_label": report.is_label,
        "counted": report.counted,
        "threshold": report.threshold,
    }


def reported_verdict_body(verdict: ReportedVerdict, viewer_id: int) -> dict[str, Any]:
    """Return the fields for `ReportedVerdictSchema`."""
    row = verdict.feedback
    is_yours = row.user_id == viewer_id
    return {
        "id": row.id,
        "image_hash": row.content.sha256,
        "accepted": row.accepted,
        "is_yours": is_yours,
        "asset_id": row.asset_id if is_yours else None,
        "updated_at": row.updated_at,
        "affinity": verdict.affinity,
        "score_before": verdict.score_before,
        "score_after": verdict.score_after,
        "contribution": verdict.contribution,
        "labels": [
            {
                "label": shift.label,
                "score_before": shift.score_before,
                "score_after": shift.score_after,
            }
            for shift in verdict.labels
        ],
    }
