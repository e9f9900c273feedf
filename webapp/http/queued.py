"""The answer to a request that queued a job: 202, the job, and where to follow it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mirada.jobs import ledger
from webapp.http.current import current_runtime
from webapp.schemas.jobs import job_body
from workers.kinds import KINDS

if TYPE_CHECKING:
    from mirada.db.idempotency import Requested
    from mirada.db.models import User


def queued(
    requested: Requested, kind: str, viewer: User
) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Ring for a job that is committed, unless it was rung for before, and return what is answered."""
    runtime = current_runtime()
    if not requested.was_replayed:
        runtime.doorbell.ring(requested.job_id, kind)
    with runtime.reading() as session:
        body = job_body(ledger.get_job(session, requested.job_id, viewer, KINDS))
    headers = {"Location": body["url"]}
    if requested.was_replayed:
        headers["Idempotent-Replayed"] = "true"
    return body, 202, headers
