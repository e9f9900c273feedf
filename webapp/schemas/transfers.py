"""Runs of imports and exports."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.transfer.runs import MOST_REFUSALS, RunKind
from mirada.transfer.seen import RunReport, SeenState
from webapp.schemas.replies import ReplySchema, page_of, time_of

TRANSFER_EXAMPLE = {
    "id": 12,
    "kind": "import",
    "source": "image-search:shop",
    "state": "running",
    "done": 5120,
    "total": 20000,
    "taken": 5100,
    "already_there": 19,
    "refused": 1,
    "refusals": [{"row": 17, "external_id": "a-17", "reason": "It names no picture."}],
    "resumed": 1,
    "error": None,
    "hint": None,
    "started_at": "2026-01-02T03:04:05+00:00",
    "seen_at": "2026-01-02T03:09:05+00:00",
    "finished_at": None,
    "url": "/api/v1/transfers/12",
}


class RefusedRowSchema(ReplySchema):
    """A row that was not taken."""

    row = ma.fields.Integer(
        required=True, metadata={"description": "Its number in the source, from 1."}
    )
    external_id = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What the source calls it; null where that could not be read."},
    )
    reason = ma.fields.String(required=True)


class TransferSchema(ReplySchema):
    """One run of `mirada import` or `mirada export`."""

    id = ma.fields.Integer(required=True)
    kind = ma.fields.String(required=True, validate=validate.OneOf([str(kind) for kind in RunKind]))
    source = ma.fields.String(
        required=True,
        metadata={
            "description": "The name of what an import reads; of an export the name of its folder. "
            "Never an address, and never the way to a folder."
        },
    )
    state = ma.fields.String(
        required=True,
        validate=validate.OneOf([str(state) for state in SeenState]),
        metadata={
            "description": "`stopped`: it was interrupted or killed, or has been silent for two minutes."
        },
    )
    done = ma.fields.Integer(
        required=True, metadata={"description": "Rows of an import, or images of an export."}
    )
    total = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "How many there are; null where only reading them all could tell."
        },
    )
    taken = ma.fields.Integer(required=True, metadata={"description": "What came, or was written."})
    already_there = ma.fields.Integer(
        required=True, metadata={"description": "Rows that an earlier run had brought."}
    )
    refused = ma.fields.Integer(
        required=True, metadata={"description": "Rows that were not taken."}
    )
    refusals = ma.fields.List(
        ma.fields.Nested(RefusedRowSchema),
        required=True,
        metadata={"description": f"The first {MOST_REFUSALS} of them, with reasons."},
    )
    resumed = ma.fields.Integer(
        required=True, metadata={"description": "How many runs before it came to no end."}
    )
    error = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Why it failed."}
    )
    hint = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "What to do now; null where there is nothing to do, or a later run did it."
        },
    )
    started_at = ma.fields.DateTime(required=True)
    seen_at = ma.fields.DateTime(
        required=True, metadata={"description": "When it last said how far it is."}
    )
    finished_at = ma.fields.DateTime(required=True, allow_none=True)
    url = ma.fields.String(required=True)


TransferPageSchema = page_of(TransferSchema, is_terse=True)


def transfer_body(run: RunReport) -> dict[str, Any]:
    """Return the fields for `TransferSchema`."""
    same = ("id", "source", "done", "total", "taken", "already_there", "refused", "resumed")
    return {
        **{name: getattr(run, name) for name in (*same, "error", "hint")},
        "kind": str(run.kind),
        "state": str(run.state),
        "refusals": [
            {"row": each.row, "external_id": each.external_id, "reason": each.reason}
            for each in run.refusals
        ],
        "started_at": time_of(run.started_at_ms),
        "seen_at": time_of(run.seen_at_ms),
        "finished_at": time_of(run.ended_at_ms),
        "url": url_for("transfers.get_transfer", transfer_id=run.id),
    }
