"""Reports of sets of judged queries."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.evaluation.report_rows import KeptReport, change_between
from webapp.schemas.evaluations import LARGEST
from webapp.schemas.replies import ReplySchema, ResourceSchema, page_of

MEANS_EXAMPLE = {
    "queries": 40,
    "recall_at_10": {"value": 0.81, "low": 0.67, "high": 0.9},
    "ndcg_at_10": {"value": 0.74, "low": 0.66, "high": 0.82},
    "ndcg_at_10_of_judged": {"value": 0.9, "low": 0.84, "high": 0.96},
    "bad_share": 0.04,
    "judged_share": 0.31,
}
REPORT_EXAMPLE: dict[str, Any] = {
    "id": 12,
    "model": "mirada-stickers/0d51a3",
    "space": "image:mirada-stickers:0d51a3:openclip-64-bicubic-1f0e-v1",
    "counted": {
        "queries": 42,
        "without_good": 2,
        "judged": 260,
        "gone": 3,
        "without_vector": 0,
        "pictures": 5120,
    },
    "overall": MEANS_EXAMPLE,
    "languages": [{"language": "pt", **MEANS_EXAMPLE}],
    "failure": None,
    "job_url": None,
    "created_at": "2026-01-02T03:04:05+00:00",
    "finished_at": "2026-01-02T03:04:06+00:00",
    "url": "/api/v1/evaluations/3/reports/12",
}
WHOLE_REPORT_EXAMPLE = REPORT_EXAMPLE | {
    "queries": [
        {
            "query_id": 8,
            "text": "gato feliz",
            "language": "pt",
            "recall_at_10": 0.5,
            "ndcg_at_10": 0.39,
            "ndcg_at_10_of_judged": 0.92,
            "good": 2,
            "bad": 1,
            "good_shown": 1,
            "bad_shown": 0,
        }
    ]
}
CHANGE_EXAMPLE = {
    "against": 11,
    "queries": 38,
    "recall_at_10": {"value": 0.04, "low": 0.01, "high": 0.07},
    "ndcg_at_10": {"value": 0.03, "low": -0.01, "high": 0.07},
}
WHOLE_REPORT_EXAMPLE["change"] = CHANGE_EXAMPLE
UNFINISHED_EXAMPLE = REPORT_EXAMPLE | {
    "counted": None,
    "overall": None,
    "languages": [],
    "job_url": "/api/v1/jobs/31",
    "finished_at": None,
    "queries": [],
    "change": None,
}


class NewEvaluationReportSchema(ma.Schema):
    """The space that is to be measured."""

    space = ma.fields.String(
        load_default="image",
        metadata={
            "maxLength": 191,
            "description": "The name or number of a space in use, or image, prompt or caption; image "
            "where it is left out.",
        },
    )


class EvaluationEstimateSchema(ReplySchema):
    """A mean over queries, and the interval that holds the true one 95 times in 100."""

    value = ma.fields.Float(required=True)
    low = ma.fields.Float(required=True)
    high = ma.fields.Float(required=True)


class EvaluationMeansSchema(ReplySchema):
    """Means over queries; how they are computed is in docs/evaluation.md."""

    queries = ma.fields.Integer(
        required=True, metadata={"description": "Queries with a good image that can be found."}
    )
    recall_at_10 = ma.fields.Nested(
        EvaluationEstimateSchema,
        required=True,
        metadata={
            "description": "Good images among the first 10, of at most 10; with Wilson's interval."
        },
    )
    ndcg_at_10 = ma.fields.Nested(
        EvaluationEstimateSchema,
        required=True,
        metadata={"description": "The same, weighed by place; with Student's interval."},
    )
    ndcg_at_10_of_judged = ma.fields.Nested(
        EvaluationEstimateSchema,
        required=True,
        allow_none=True,
        metadata={
            "description": "nDCG@10 with the judged images alone ranked; null where none is bad. It "
            "does not punish a model for good images that nobody has judged."
        },
    )
    bad_share = ma.fields.Float(
        required=True, metadata={"description": "Bad images' share of the places looked at."}
    )
    judged_share = ma.fields.Float(
        required=True,
        metadata={"description": "Judged images' share of them; of the rest nothing is known."},
    )


class EvaluationLanguageSchema(EvaluationMeansSchema):
    """Means over the queries of one language."""

    language = ma.fields.String(required=True, allow_none=True)


class EvaluationCountsSchema(ReplySchema):
    """Numbers of queries and images that the figures rest on."""

    queries = ma.fields.Integer(required=True)
    without_good = ma.fields.Integer(
        required=True,
        metadata={"description": "Queries that do not count: no good image can be found."},
    )
    judged = ma.fields.Integer(required=True, metadata={"description": "Judged images."})
    gone = ma.fields.Integer(
        required=True, metadata={"description": "Those that were deleted or hidden from you."}
    )
    without_vector = ma.fields.Integer(
        required=True, metadata={"description": "Those that the space has no vector of yet."}
    )
    pictures = ma.fields.Integer(
        required=True, metadata={"description": "Vectors that you see: all were compared."}
    )


class EvaluationReportSchema(ResourceSchema):
    """The figures of a set in one space, as they were then."""

    model = ma.fields.String(
        required=True, metadata={"description": "The encoder and its weights."}
    )
    space = ma.fields.String(required=True)
    counted = ma.fields.Nested(EvaluationCountsSchema, required=True, allow_none=True)
    overall = ma.fields.Nested(
        EvaluationMeansSchema,
        required=True,
        allow_none=True,
        metadata={"description": "null where no query counts, and until it is finished."},
    )
    languages = ma.fields.List(ma.fields.Nested(EvaluationLanguageSchema), required=True)
    failure = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Why there are no figures."}
    )
    job_url = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The job that makes a large report; it tells the progress."},
    )
    finished_at = ma.fields.DateTime(required=True, allow_none=True)


class EvaluationQueryFiguresSchema(ReplySchema):
    """The figures of one query."""

    query_id = ma.fields.Integer(
        required=True, metadata={"description": "It may have been deleted since."}
    )
    text = ma.fields.String(required=True)
    language = ma.fields.String(required=True, allow_none=True)
    recall_at_10 = ma.fields.Float(required=True)
    ndcg_at_10 = ma.fields.Float(required=True)
    ndcg_at_10_of_judged = ma.fields.Float(required=True, allow_none=True)
    good = ma.fields.Integer(required=True)
    bad = ma.fields.Integer(required=True)
    good_shown = ma.fields.Integer(
        required=True, metadata={"description": "Good images among the first 10."}
    )
    bad_shown = ma.fields.Integer(required=True)


class EvaluationReportQuerySchema(ma.Schema):
    """The report that another one is compared with."""

    against = ma.fields.Integer(
        validate=validate.Range(1, LARGEST),
        metadata={
            "description": "Another report of the set; the one before it where this is left out."
        },
    )


class EvaluationChangeSchema(ReplySchema):
    """The change from an older report, query by query, with Student's interval."""

    against = ma.fields.Integer(required=True, metadata={"description": "The other report."})
    queries = ma.fields.Integer(
        required=True, metadata={"description": "Queries that both reports measured."}
    )
    recall_at_10 = ma.fields.Nested(EvaluationEstimateSchema, required=True)
    ndcg_at_10 = ma.fields.Nested(EvaluationEstimateSchema, required=True)


class WholeEvaluationReportSchema(EvaluationReportSchema):
    """A report with the figures of each query."""

    queries = ma.fields.List(
        ma.fields.Nested(EvaluationQueryFiguresSchema),
        required=True,
        metadata={"description": "Those that count, the worst first."},
    )
    change = ma.fields.Nested(
        EvaluationChangeSchema,
        required=True,
        allow_none=True,
        metadata={
            "description": "What has changed since another report, of another model or of the same; "
            "null where there is none, or no query is in both. Judgements that were changed between "
            "the two have a part in it."
        },
    )


EvaluationReportPageSchema = page_of(EvaluationReportSchema, is_terse=True)


def report_body(report: KeptReport) -> dict[str, Any]:
    """Return the fields for `EvaluationReportSchema`."""
    figures = report.figures or {"counted": None, "overall": None, "languages": []}
    job_id = report.job_id
    return {
        "id": report.id,
        "model": report.model,
        "space": report.space,
        **figures,
        "failure": report.failure,
        "job_url": None if job_id is None else url_for("jobs.get_job", job_id=job_id),
        "created_at": report.created_at,
        "finished_at": report.finished_at,
        "url": url_for(
            "evaluations.get_evaluation_report",
            evaluation_id=report.set_id,
            report_id=report.id,
        ),
    }


def whole_report_body(report: KeptReport, before: KeptReport | None) -> dict[str, Any]:
    """Return the fields for `WholeEvaluationReportSchema`; `before` is what it is compared with."""
    change = None if before is None else change_between(before, report)
    body = report_body(report) | {"queries": list(report.of_queries or ()), "change": None}
    if before is not None and change is not None:
        body["change"] = {
            "against": before.id,
            "queries": change.queries,
            "recall_at_10": asdict(change.recall),
            "ndcg_at_10": asdict(change.ndcg),
        }
    return body
