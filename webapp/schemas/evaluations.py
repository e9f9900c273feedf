"""Sets of judged queries, as they are sent and shown."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.evaluation.from_feedback import Filled
from mirada.evaluation.judgements import MOST_JUDGED
from mirada.evaluation.kept_queries import KeptQuery
from mirada.evaluation.languages import MAX_LANGUAGE_CHARS, TAG
from mirada.evaluation.merging import Outcome
from mirada.evaluation.queries import MAX_TEXT_CHARS
from mirada.evaluation.sets import QuerySet
from mirada.kernel.labels import MAX_NAME_CHARACTERS
from webapp.schemas.feedback import VerdictField
from webapp.schemas.numbers import WholeField
from webapp.schemas.replies import ReplySchema, ResourceSchema, page_of
from webapp.schemas.switches import SwitchField
from webapp.schemas.texts import NAME, SEEN, THEME

LARGEST = 2**63 - 1
MOST_THEMES = 1_000
SET_EXAMPLE = {
    "id": 3,
    "name": "stickers people ask for",
    "query_count": 42,
    "created_at": "2026-01-02T03:04:05+00:00",
    "updated_at": "2026-01-02T03:04:05+00:00",
    "queries_url": "/api/v1/evaluations/3/queries",
    "reports_url": "/api/v1/evaluations/3/reports",
    "url": "/api/v1/evaluations/3",
}
NEW_QUERY_EXAMPLE = {"text": "gato feliz", "language": "pt", "good": [17, 21], "bad": [5]}
QUERY_EXAMPLE = {
    "id": 8,
    **NEW_QUERY_EXAMPLE,
    "theme": None,
    "gone": 0,
    "created_at": "2026-01-02T03:04:05+00:00",
    "updated_at": "2026-01-02T03:04:05+00:00",
    "url": "/api/v1/evaluations/3/queries/8",
}
FILLED_EXAMPLE = {
    "is_preview": True,
    "queries": [
        {
            "theme": "cute cats",
            "text": "cute cats",
            "language": "en",
            "outcome": "created",
            "query_id": None,
            "good": [17, 21],
            "bad": [5],
        }
    ],
    "left_out": [{"theme": "dull cats", "accepted": 0, "rejected": 2}],
    "without_image": 1,
}
LANGUAGE = {
    "maxLength": MAX_LANGUAGE_CHARS,
    "pattern": TAG,
    "description": "A code such as en, pt or pt-BR. Figures are told for each language.",
}


def _images(description: str) -> ma.fields.List:
    return ma.fields.List(
        WholeField(validate=validate.Range(1, LARGEST)),
        validate=validate.Length(max=MOST_JUDGED),
        metadata={"description": description},
    )


class NewEvaluationSchema(ma.Schema):
    """A new set, or a set's new name."""

    name = ma.fields.String(
        required=True,
        validate=validate.Length(1, 10 * MAX_NAME_CHARACTERS),
        metadata={
            "maxLength": MAX_NAME_CHARACTERS,
            "pattern": NAME,
            "description": f"Of up to {MAX_NAME_CHARACTERS} characters, unique among your sets.",
        },
    )


class EvaluationSchema(ResourceSchema):
    """A set of queries of the caller's."""

    name = ma.fields.String(required=True)
    query_count = ma.fields.Integer(required=True)
    updated_at = ma.fields.DateTime(
        required=True, metadata={"description": "When it, or one of its queries, last changed."}
    )
    queries_url = ma.fields.String(required=True)
    reports_url = ma.fields.String(required=True)


EvaluationPageSchema = page_of(EvaluationSchema, is_terse=True)


class EvaluationQueryChangeSchema(ma.Schema):
    """Changes of a query; what is left out stays."""

    text = ma.fields.String(
        validate=validate.Length(min=1),
        metadata={
            "maxLength": MAX_TEXT_CHARS,
            "pattern": SEEN,
            "description": f"What is searched for, of up to {MAX_TEXT_CHARS} characters.",
        },
    )
    language = ma.fields.String(allow_none=True, metadata=LANGUAGE)
    good = _images(
        f"Images that belong among the results. Good and bad are {MOST_JUDGED} at most together."
    )
    bad = _images("Images that do not belong there. All others count as not judged.")


class NewEvaluationQuerySchema(EvaluationQueryChangeSchema):
    """A query with the images that were judged for it."""

    text = ma.fields.String(
        required=True,
        validate=validate.Length(min=1),
        metadata={
            "maxLength": MAX_TEXT_CHARS,
            "pattern": SEEN,
            "description": f"What is searched for, of up to {MAX_TEXT_CHARS} characters. With its "
            "language it is unique in the set.",
        },
    )


class EvaluationQuerySchema(ResourceSchema):
    """A query as it stands for the caller now."""

    text = ma.fields.String(required=True)
    language = ma.fields.String(required=True, allow_none=True)
    theme = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The theme whose verdicts filled it; null for none."},
    )
    good = ma.fields.List(ma.fields.Integer(), required=True)
    bad = ma.fields.List(ma.fields.Integer(), required=True)
    gone = ma.fields.Integer(
        required=True,
        metadata={
            "description": "Judged images that were deleted, or that you cannot see now: they are in "
            "neither list and do not count."
        },
    )
    updated_at = ma.fields.DateTime(required=True)


EvaluationQueryPageSchema = page_of(EvaluationQuerySchema, is_terse=True)


class EvaluationJudgementSchema(ma.Schema):
    """A judgement: does the image belong among the results of the query?"""

    is_good = VerdictField(
        required=True, metadata={"description": "true: it belongs. false: it does not."}
    )


class EvaluationFillingSchema(ma.Schema):
    """The caller's verdicts on themes that are to fill a set."""

    themes = ma.fields.List(
        ma.fields.String(validate=validate.Length(min=1), metadata=THEME),
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, MOST_THEMES),
        metadata={"description": "Only these, in any spelling; all where it is left out."},
    )
    language = ma.fields.String(load_default=None, allow_none=True, metadata=LANGUAGE)
    preview = SwitchField(
        load_default=False, metadata={"description": "Say what would be done, and do nothing."}
    )


class FilledEvaluationQuerySchema(ReplySchema):
    """A query that verdicts on a theme made, or added to."""

    theme = ma.fields.String(required=True)
    text = ma.fields.String(required=True)
    language = ma.fields.String(required=True, allow_none=True)
    outcome = ma.fields.String(required=True, validate=validate.OneOf([*Outcome]))
    query_id = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "null for one that a preview would create."},
    )
    good = ma.fields.List(
        ma.fields.Integer(), required=True, metadata={"description": "Accepted images."}
    )
    bad = ma.fields.List(
        ma.fields.Integer(), required=True, metadata={"description": "Rejected images."}
    )


class LeftOutThemeSchema(ReplySchema):
    """A theme that makes no query: no image that you see was accepted for it."""

    theme = ma.fields.String(required=True)
    accepted = ma.fields.Integer(required=True)
    rejected = ma.fields.Integer(required=True)


class FilledEvaluationSchema(ReplySchema):
    """The queries that a set got from verdicts, or would get."""

    is_preview = ma.fields.Boolean(required=True)
    queries = ma.fields.List(ma.fields.Nested(FilledEvaluationQuerySchema), required=True)
    left_out = ma.fields.List(ma.fields.Nested(LeftOutThemeSchema), required=True)
    without_image = ma.fields.Integer(
        required=True,
        metadata={
            "description": "Verdicts on pictures of which you see no image, such as one that you had "
            "classified and did not upload."
        },
    )


def set_body(kept: QuerySet) -> dict[str, Any]:
    """Return the fields for `EvaluationSchema`."""
    return {
        "id": kept.id,
        "name": kept.name,
        "query_count": kept.query_count,
        "created_at": kept.created_at,
        "updated_at": kept.updated_at,
        "queries_url": url_for("evaluations.list_evaluation_queries", evaluation_id=kept.id),
        "reports_url": url_for("evaluations.list_evaluation_reports", evaluation_id=kept.id),
        "url": url_for("evaluations.get_evaluation", evaluation_id=kept.id),
    }


def query_body(query: KeptQuery) -> dict[str, Any]:
    """Return the fields for `EvaluationQuerySchema`."""
    return {
        "id": query.id,
        "text": query.text,
        "language": query.language,
        "theme": query.theme,
        "good": query.good,
        "bad": query.bad,
        "gone": query.gone,
        "created_at": query.created_at,
        "updated_at": query.updated_at,
        "url": url_for(
            "evaluations.get_evaluation_query", evaluation_id=query.set_id, query_id=query.id
        ),
    }


def filled_body(filled: Filled, *, is_preview: bool) -> dict[str, Any]:
    """Return the fields for `FilledEvaluationSchema`."""
    return {
        "is_preview": is_preview,
        "queries": [
            {
                "theme": each.query.theme,
                "text": each.query.text,
                "language": each.query.language,
                "outcome": str(each.outcome),
                "query_id": each.query_id,
                "good": sorted(each.query.good),
                "bad": sorted(each.query.bad),
            }
            for each in filled.queries
        ],
        "left_out": [
            {"theme": each.theme, "accepted": each.accepted, "rejected": each.rejected}
            for each in filled.left_out
        ],
        "without_image": filled.without_image,
    }
