"""Jobs: count, list, read, follow, retry and cancel them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from mirada.jobs import cancelling, ledger
from mirada.jobs.summary import summarise
from mirada.kernel.errors import MiradaError, NotAuthenticated
from mirada.people.in_force import in_force
from webapp.callers.auth import current_caller, require_user
from webapp.http import streams
from webapp.http.creations import queued
from webapp.http.current import current_runtime
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import ApiBlueprint, header
from webapp.schemas.job_summary import (
    SUMMARY_EXAMPLE,
    JobSummarySchema,
    RetriedSchema,
    RetryManySchema,
    retried_body,
    summary_body,
)
from webapp.schemas.jobs import (
    JOB_EXAMPLE,
    JobListQuerySchema,
    JobPageSchema,
    JobSchema,
    JobUrls,
    job_body,
)
from workers.kinds import KINDS

blueprint = ApiBlueprint(
    "jobs", __name__, url_prefix="/api/v1/jobs", description="Work that is not lost"
)
ENDED = frozenset({"done", "failed", "quarantined", "cancelled"})


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


@blueprint.get("/summary")
@blueprint.operation("getJobSummary", "Read the work in numbers")
@blueprint.response(200, JobSummarySchema, example=SUMMARY_EXAMPLE)
def get_job_summary() -> Any:
    """The caller's own jobs; an administrator's reply tells of everybody's.

    `worker` is of the installation, for everybody: whether somebody works at all.
    """
    user = require_user()
    with current_runtime().reading() as session:
        return summary_body(summarise(session, user, KINDS))


@blueprint.post("/retry")
@blueprint.operation("retryJobs", "Queue all failed jobs afresh", refusals=(400, 403, 415, 422))
@blueprint.arguments(RetryManySchema, example={"state": "failed"})
@blueprint.response(200, RetriedSchema, example={"count": 12, "left": 0})
def retry_jobs(wanted: dict[str, Any]) -> Any:
    """Those that the list of jobs shows the caller, of all kinds or of one; the oldest first.

    One call queues 200 at most, and takes 3 s at most: while `left` is not 0, ask again.
    """
    retried = cancelling.retry_all(
        current_runtime(),
        require_user(),
        KINDS,
        state=wanted["state"],
        kind=wanted["kind"],
    )
    return retried_body(retried)


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
    """For jobs that failed, were quarantined or were cancelled."""
    user = require_user()
    with current_runtime().transaction() as session:
        job = ledger.retry_job(session, job_id, user, KINDS)
    return queued(job.id, job.kind, user)


@blueprint.post("/<id:job_id>/cancel")
@blueprint.operation("cancelJob", "End a job that waits or runs", refusals=(403, 404, 409))
@blueprint.response(200, JobSchema, example=JOB_EXAMPLE | {"state": "cancelled"})
def cancel_job(job_id: int) -> Any:
    """A running one writes nothing more and ends at its next step; what a model was asked is paid.

    409 for jobs that have ended, and for those that end within seconds once begun. 409 as well for
    parts of a change of the model or of a user's end: the reply says what to do instead.
    """
    user, runtime = require_user(), current_runtime()
    with runtime.transaction() as session:
        cancelling.cancel_job(session, job_id, user, KINDS)
    with runtime.reading() as session:
        return job_body(ledger.get_job(session, job_id, user, KINDS))


@blueprint.get("/<id:job_id>/events")
@blueprint.operation("streamJob", "Follow a job", refusals=(404,))
@blueprint.response(
    200,
    {"description": "Events; the data of each is a Job as JSON."},
    content_type="text/event-stream",
    example='event: job\ndata: {"id": 4, "state": "done"}\n\n',
)
def stream_job(job_id: int) -> Any:
    """Server-sent events named `job`, one per change, until the job ends or a minute is over.

    A comment every 10 s keeps the connection awake. A caller follows two jobs at a time at most.
    """
    user, credential = require_user(), current_caller().credential
    runtime = current_runtime()
    # Events come after the request was answered, when no address can be made any more.
    urls = JobUrls.of_request()

    def read() -> dict[str, Any]:
        with runtime.reading() as session:
            if not in_force(session, {credential} if credential is not None else set()):
                raise NotAuthenticated("The key or the session that this was asked with is over.")
            return JobSchema().dump(job_body(ledger.get_job(session, job_id, user, KINDS), urls))

    return streams.stream(user.id, _Events(read(), read).next)


class _Events:
    """The changes of one job as events."""

    def __init__(self, first: dict[str, Any], read: Callable[[], dict[str, Any]]) -> None:
        """Begin with a body that was read already."""
        self._unsent: dict[str, Any] | None = first
        self._seen = first
        self._read = read

    def next(self) -> str | None:
        """Return the next event, "" while nothing has changed, None after the last."""
        if self._unsent is None:
            if self._seen["state"] in ENDED:
                return None
            try:
                body = self._read()
            except MiradaError as error:
                # The status is sent already; the client comes back and gets a proper answer.
                self._seen = {**self._seen, "state": "failed"}
                return f": {error.code}\n\n"
            if body == self._seen:
                return ""
            self._unsent = body
        self._seen, self._unsent = self._unsent, None
        return f"event: job\ndata: {json.dumps(self._seen)}\n\n"
