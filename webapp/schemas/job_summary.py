"""The work in numbers, and jobs that are queued afresh together."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.jobs.cancelling import Retried
from mirada.jobs.summary import Summary
from webapp.schemas.replies import ReplySchema, time_of
from workers.kinds import KINDS

RETRIED_TOGETHER = ("failed", "quarantined")
SUMMARY_EXAMPLE = {
    "since": 1767323045000,
    "queued": 12,
    "running": 1,
    "failed": 2,
    "done_24h": 340,
    "cancelled_24h": 2,
    "oldest_queued_s": 3.2,
    "worker": {"alive": True, "seen_at": "2026-01-02T03:04:05+00:00"},
    "kinds": [
        {
            "kind": "create_embeddings_task",
            "title": "Make a picture searchable",
            "queued": 12,
            "running": 1,
            "failed": 2,
            "rate_per_s": 4.2,
            "eta_s": 3.1,
        }
    ],
}


class KindSummarySchema(ReplySchema):
    """The jobs of one kind."""

    kind = ma.fields.String(required=True)
    title = ma.fields.String(required=True)
    queued = ma.fields.Integer(required=True)
    running = ma.fields.Integer(required=True)
    failed = ma.fields.Integer(
        required=True, metadata={"description": "Quarantined ones are counted here as well."}
    )
    rate_per_s = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "How many were done per second, over the last minute."},
    )
    eta_s = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Seconds until all are done at that rate; null without one."},
    )


class WorkerStateSchema(ReplySchema):
    """Whether a worker is there; of the installation, for everybody."""

    alive = ma.fields.Boolean(
        required=True, metadata={"description": "One was heard of within the last 25 s."}
    )
    seen_at = ma.fields.DateTime(
        required=True, allow_none=True, metadata={"description": "When; null for never."}
    )


class JobSummarySchema(ReplySchema):
    """The caller's work in numbers; an administrator is told of everybody's."""

    since = ma.fields.Integer(
        required=True,
        metadata={
            "description": "When it was read: `since` for a stream of events that goes on from here."
        },
    )
    queued = ma.fields.Integer(required=True)
    running = ma.fields.Integer(required=True)
    failed = ma.fields.Integer(
        required=True, metadata={"description": "Quarantined ones are counted here as well."}
    )
    done_24h = ma.fields.Integer(
        required=True,
        metadata={"description": "How many were done within 24 hours; without cancelled ones."},
    )
    cancelled_24h = ma.fields.Integer(
        required=True, metadata={"description": "How many were cancelled within 24 hours."}
    )
    oldest_queued_s = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "How long the oldest due job has waited; null where none does."},
    )
    worker = ma.fields.Nested(WorkerStateSchema, required=True)
    kinds = ma.fields.List(
        ma.fields.Nested(KindSummarySchema),
        required=True,
        metadata={"description": "Those with jobs that wait, run or failed."},
    )


class RetryManySchema(ma.Schema):
    """The jobs to queue afresh."""

    state = ma.fields.String(
        load_default="failed",
        validate=validate.OneOf(RETRIED_TOGETHER),
        metadata={"description": "Quarantined ones may end the worker again."},
    )
    kind = ma.fields.String(
        load_default=None, allow_none=True, validate=validate.OneOf(tuple(KINDS))
    )


class RetriedSchema(ReplySchema):
    """The outcome of queueing jobs afresh."""

    count = ma.fields.Integer(required=True, metadata={"description": "How many were queued."})
    left = ma.fields.Integer(
        required=True, metadata={"description": "How many are left for another call."}
    )


def summary_body(summary: Summary) -> dict[str, Any]:
    """Return the fields for `JobSummarySchema`."""
    return {
        "since": summary.at_ms,
        "queued": summary.queued,
        "running": summary.running,
        "failed": summary.failed,
        "done_24h": summary.done_24h,
        "cancelled_24h": summary.cancelled_24h,
        "oldest_queued_s": summary.oldest_queued_s,
        "worker": {
            "alive": summary.worker.alive,
            "seen_at": time_of(summary.worker.seen_at_ms),
        },
        "kinds": summary.kinds,
    }


def retried_body(retried: Retried) -> dict[str, Any]:
    """Return the fields for `RetriedSchema`."""
    return {"count": retried.count, "left": retried.left}
