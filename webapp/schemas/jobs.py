"""Jobs of the ledger."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.jobs.ledger import JobReport
from webapp.schemas.replies import PageQuerySchema, ReplySchema, ResourceSchema, page_of, time_of
from workers.kinds import KINDS

STATES = ("queued", "running", "done", "failed", "quarantined")
JOB_EXAMPLE = {
    "id": 4,
    "kind": "rebuild_index",
    "subject_id": None,
    "space_id": 1,
    "state": "running",
    "attempts": 1,
    "crashes": 0,
    "done": 5000,
    "total": 20000,
    "rate_per_s": 2500.0,
    "eta_s": 6.0,
    "next_attempt_in_s": None,
    "last_error": None,
    "result": None,
    "request_id": "5b7c0d3e",
    "created_at": "2026-01-02T03:04:05+00:00",
    "started_at": "2026-01-02T03:04:05+00:00",
    "finished_at": None,
    "url": "/api/v1/jobs/4",
}


class JobResultSchema(ReplySchema):
    """The result of a job."""

    image_id = ma.fields.Integer(
        required=True, metadata={"description": "It may have been deleted since."}
    )


class JobSchema(ResourceSchema):
    """A job and its progress."""

    kind = ma.fields.String(required=True)
    subject_id = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "What the work is about; told to administrators."},
    )
    space_id = ma.fields.Integer(required=True, allow_none=True)
    state = ma.fields.String(required=True, validate=validate.OneOf(STATES))
    attempts = ma.fields.Integer(required=True)
    crashes = ma.fields.Integer(
        required=True, metadata={"description": "Attempts that ended without a word."}
    )
    done = ma.fields.Integer(required=True)
    total = ma.fields.Integer(required=True, allow_none=True)
    rate_per_s = ma.fields.Float(required=True, allow_none=True)
    eta_s = ma.fields.Float(required=True, allow_none=True)
    next_attempt_in_s = ma.fields.Float(required=True, allow_none=True)
    last_error = ma.fields.String(required=True, allow_none=True)
    result = ma.fields.Nested(
        JobResultSchema,
        required=True,
        allow_none=True,
        metadata={
            "description": "Of a generate_image_task that is done, for its owner; null for all else."
        },
    )
    request_id = ma.fields.String(required=True, allow_none=True)
    started_at = ma.fields.DateTime(required=True, allow_none=True)
    finished_at = ma.fields.DateTime(required=True, allow_none=True)


JobPageSchema = page_of(JobSchema, is_terse=True)


class JobListQuerySchema(PageQuerySchema):
    """The page of jobs to list."""

    state = ma.fields.List(
        ma.fields.String(validate=validate.OneOf(STATES)),
        load_default=[],
        metadata={
            "description": "Only these; repeat for several. Failed list: failed, quarantined."
        },
    )
    kind = ma.fields.String(load_default=None, validate=validate.OneOf(tuple(KINDS)))


def job_body(report: JobReport, url: str | None = None) -> dict[str, Any]:
    """Return the fields for `JobSchema`; its address is needed only outside a request."""
    job = report.job
    return {
        "id": job.id,
        "kind": job.kind,
        "subject_id": report.subject_id,
        "space_id": job.space_id,
        "state": str(job.state),
        "attempts": job.attempts,
        "crashes": job.crashes,
        "done": job.progress_done,
        "total": job.progress_total,
        "rate_per_s": report.rate_per_s,
        "eta_s": report.eta_s,
        "next_attempt_in_s": report.waits_s,
        "last_error": job.last_error,
        "result": None if report.image_id is None else {"image_id": report.image_id},
        "request_id": job.request_id,
        "created_at": job.created_at,
        "started_at": time_of(job.started_at_ms),
        "finished_at": time_of(job.finished_at_ms),
        "url": url or url_for("jobs.get_job", job_id=job.id),
    }
