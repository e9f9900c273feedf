"""Jobs: list, read, follow and retry them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from flask import Response, url_for

from mirada.jobs import ledger
from mirada.kernel.errors import MiradaError, Unavailable
from webapp.callers.auth import require_user
from webapp.http.creations import queued
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import ApiBlueprint, header
from webapp.schemas.jobs import (
    JOB_EXAMPLE,
    JobListQuerySchema,
    JobPageSchema,
    JobSchema,
    job_body,
)
from workers.kinds import KINDS

blueprint = ApiBlueprint(
    "jobs", __name__, url_prefix="/api/v1/jobs", description="Work that is not lost"
)
EVENTS_PERIOD_S = 0.5
EVENTS_LIMIT_S = 60.0
"""A stream holds a server thread, so it ends after a minute; clients of the standard come back."""


@blueprint.get("")
@blueprint.pages(
    "listJobs",
    "List jobs, newest first",
    JobPageSchema,
    query=JobListQuerySchema,
    example=JOB_EXAMPLE,
)
def list_jobs(query: PageQuery) -> Listed[Any]:
    """The caller's own; an administrator sees everybody's.

    `?state=failed&state=quarantined` is the list of what was given up, with reasons.
    """
    user, filters = require_user(), query.filters
    with current_runtime().reading() as session:
        reports = ledger.list_jobs(
            session, user, KINDS, states=filters["state"], kind=filters["kind"], **query.bounds
        )
    return Listed(reports, job_body, lambda report: report.job.id)


@blueprint.get("/<id:job_id>")
@blueprint.operation("getJob", "Read a job", refusals=(404,))
@blueprint.response(200, JobSchema, example=JOB_EXAMPLE)
def get_job(job_id: int) -> Any:
    """State, progress, rate, time to go, and the last error."""
    user = require_user()
    with current_runtime().reading() as session:
        return job_body(ledger.get_job(session, job_id, user, KINDS))


@blueprint.post("/<id:job_id>/retry")
@blueprint.operation("retryJob", "Queue a job afresh", refusals=(403, 404, 409))
@blueprint.response(202, JobSchema, example=JOB_EXAMPLE, headers={"Location": header("The job.")})
def retry_job(job_id: int) -> Any:
    """For jobs that failed or were quarantined."""
    user = require_user()
    with current_runtime().transaction() as session:
        job = ledger.retry_job(session, job_id, user, KINDS)
    return queued(job.id, job.kind, user)


@blueprint.get("/<id:job_id>/events")
@blueprint.operation("streamJob", "Follow a job", refusals=(404,))
@blueprint.response(
    200,
    {"description": "Events; the data of each is a Job as JSON."},
    content_type="text/event-stream",
    example='event: job\ndata: {"id": 4, "state": "done"}\n\n',
)
def stream_job(job_id: int) -> Any:
    """Server-sent events named `job`, one per change, until the job ends or a minute is over."""
    user = require_user()
    runtime = current_runtime()
    # Events come after the request was answered, when no address can be made any more.
    url = url_for("jobs.get_job", job_id=job_id)

    def read() -> dict[str, Any]:
        with runtime.reading() as session:
            return JobSchema().dump(job_body(ledger.get_job(session, job_id, user, KINDS), url))

    first = read()
    # A stream holds a server thread; half of them stay free for everybody else.
    most = max(1, runtime.settings.web_threads // 2)
    streams = runtime.remembered("event_streams", lambda: threading.BoundedSemaphore(most))
    if not streams.acquire(blocking=False):
        raise Unavailable("Too many jobs are followed already; ask again or poll the job.")
    response = Response(_events(first, read), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    # Proxies that buffer would hold every event back.
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(streams.release)
    return response


def _events(first: dict[str, Any], read: Any) -> Iterator[str]:
    ends_at_s = time.monotonic() + EVENTS_LIMIT_S
    seen, body = None, first
    while True:
        if body != seen:
            seen = body
            yield f"event: job\ndata: {json.dumps(body)}\n\n"
        if body["state"] in {"done", "failed", "quarantined"} or time.monotonic() > ends_at_s:
            return
        time.sleep(EVENTS_PERIOD_S)
        try:
            body = read()
        except MiradaError as error:
            # The status is sent already; the client comes back and gets a proper answer.
            yield f": {error.code}\n\n"
            return
