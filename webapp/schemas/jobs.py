"""Jobs of the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.jobs.reports import JobImage, JobReport
from webapp.schemas.replies import PageQuerySchema, ReplySchema, ResourceSchema, page_of, time_of
from workers.kinds import KINDS

STATES = ("queued", "running", "done", "failed", "quarantined", "cancelled")
JOB_EXAMPLE = {
    "id": 4,
    "kind": "rebuild_index",
    "title": "Build the index anew",
    "image": None,
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
    "error": None,
    "result": None,
    "request_id": "5b7c0d3e",
    "created_at": "2026-01-02T03:04:05+00:00",
    "started_at": "2026-01-02T03:04:05+00:00",
    "finished_at": None,
    "url": "/api/v1/jobs/4",
}


class JobImageSchema(ReplySchema):
    """The image that a job is about, or that it made."""

    id = ma.fields.Integer(required=True)
    filename = ma.fields.String(required=True, allow_none=True)
    thumbnail_url = ma.fields.String(required=True)


class JobErrorSchema(ReplySchema):
    """The last error of a job."""

    code = ma.fields.String(
        required=True,
        metadata={
            "description": "For machines. `unknown` for errors of before codes were kept, `unexpected` "
            "for a fault of the program, `worker_died`, `cancelled`, or the code of a problem."
        },
    )
    detail = ma.fields.String(required=True, metadata={"description": "What happened."})
    hint = ma.fields.String(
        required=True,
        metadata={"description": "What its owner can do, or when it is tried again (UTC)."},
    )


class JobResultSchema(ReplySchema):
    """The result of a job."""

    image_id = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "It may have been deleted since; null where it made none."},
    )
    file_url = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Of an export, which is kept for a day; null where it made none."},
    )


class JobSchema(ResourceSchema):
    """A job and its progress."""

    kind = ma.fields.String(required=True)
    title = ma.fields.String(
        required=True, metadata={"description": "What work of this kind does, for people."}
    )
    image = ma.fields.Nested(
        JobImageSchema,
        required=True,
        allow_none=True,
        metadata={
            "description": "The image that it is about, or that it made; for its owner, null for all "
            "else."
        },
    )
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
    last_error = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "`detail` of `error`."}
    )
    error = ma.fields.Nested(JobErrorSchema, required=True, allow_none=True)
    result = ma.fields.Nested(
        JobResultSchema,
        required=True,
        allow_none=True,
        metadata={
            "description": "Of a generate_image_task, fetch_image_task or export_pack_task that is done, "
            "for its owner; null for all else."
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


@dataclass(frozen=True, slots=True)
class JobUrls:
    """The addresses below which jobs, images and exports lie."""

    jobs: str
    images: str
    exports: str

    @classmethod
    def of_request(cls) -> Self:
        """Return those of the request being served, for bodies that are made after it."""
        exports = f"{url_for('packs.list_packs')}/exports"
        return cls(url_for("jobs.list_jobs"), url_for("images.list_images"), exports)


def job_body(report: JobReport, urls: JobUrls | None = None) -> dict[str, Any]:
    """Return the fields for `JobSchema`; addresses are needed only outside a request."""
    job, error, urls = report.job, report.error, urls or JobUrls.of_request()
    return {
        "id": job.id,
        "kind": job.kind,
        "title": report.title,
        "image": _image_body(report.image, urls),
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
        "error": error and {"code": error.code, "detail": error.detail, "hint": error.hint},
        "result": _result_body(report, urls),
        "request_id": job.request_id,
        "created_at": job.created_at,
        "started_at": time_of(job.started_at_ms),
        "finished_at": time_of(job.finished_at_ms),
        "url": f"{urls.jobs}/{job.id}",
    }


def _result_body(report: JobReport, urls: JobUrls) -> dict[str, Any] | None:
    if report.image_id is None and not report.has_file:
        return None
    file_url = f"{urls.exports}/{report.job.id}" if report.has_file else None
    return {"image_id": report.image_id, "file_url": file_url}


def _image_body(image: JobImage | None, urls: JobUrls) -> dict[str, Any] | None:
    if image is None:
        return None
    return {
        "id": image.id,
        "filename": image.filename,
        "thumbnail_url": f"{urls.images}/{image.id}/thumbnail",
    }
