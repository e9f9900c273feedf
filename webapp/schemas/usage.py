"""Usage and costs of language models."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.kernel.prices import usd
from mirada.language_model.series import By, Series, Step
from mirada.language_model.server_state import KeyState, ServerState
from mirada.language_model.spending import EXPANSION, PURPOSES
from mirada.language_model.usage import Usage
from webapp.schemas.replies import ReplySchema, time_of

CALL_STATES = ("reserved", "paid", "free", "unknown")
MAX_DAYS = 90
MAX_CALLS = 200
USAGE_EXAMPLE = {
    "language_model": {"key": "set", "is_resting": False, "reason": None},
    "user_id": 7,
    "day": "2026-01-02",
    "resets_in_s": 31_000,
    "budget": {"daily_usd": 1.0, "spent_usd": 0.0123, "left_usd": 0.9877},
    "is_budget_reached": False,
    "totals": [
        {
            "day": "2026-01-02",
            "purpose": "caption",
            "model": "gpt-6-luna",
            "calls": 41,
            "paid": 40,
            "free": 1,
            "unseen": 0,
            "under_way": 0,
            "input_tokens": 118_000,
            "output_tokens": 1_600,
            "cost_usd": 0.01866,
        }
    ],
    "calls": [
        {
            "id": 90,
            "purpose": "caption",
            "model": "gpt-6-luna",
            "subject": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "user_id": 7,
            "job_id": 12,
            "state": "paid",
            "input_tokens": 2_950,
            "output_tokens": 40,
            "cost_usd": 0.000467,
            "failure": None,
            "detail": None,
            "created_at": "2026-01-02T03:04:05+00:00",
            "finished_at": "2026-01-02T03:04:07+00:00",
        }
    ],
}


SERIES_EXAMPLE = {
    "user_id": 7,
    "step": "day",
    "days": ["2026-01-01", "2026-01-02"],
    "series": {"caption": [0, 41], "expansion": [2, 0]},
    "cost_usd": [0.0003, 0.01866],
}


class UsageQuerySchema(ma.Schema):
    """The user, the days and the number of calls to tell."""

    user = ma.fields.Integer(
        load_default=None,
        validate=validate.Range(min=1, max=2**63 - 1),
        metadata={"description": "A user's id. For administrators; left out, they see everybody."},
    )
    days = ma.fields.Integer(
        load_default=30,
        validate=validate.Range(min=1, max=MAX_DAYS),
        metadata={"description": "Totals of so many days, today's included."},
    )
    limit = ma.fields.Integer(
        load_default=20,
        validate=validate.Range(min=0, max=MAX_CALLS),
        metadata={"description": "How many of the newest calls."},
    )


class SeriesQuerySchema(ma.Schema):
    """The days to tell, and how."""

    user = ma.fields.Integer(
        load_default=None,
        validate=validate.Range(min=1, max=2**63 - 1),
        metadata={"description": "A user's id. For administrators; left out, they see everybody."},
    )
    first = ma.fields.Date(
        data_key="from",
        load_default=None,
        metadata={"description": "UTC; 30 days before `to` unless it is said."},
    )
    last = ma.fields.Date(
        data_key="to", load_default=None, metadata={"description": "Included; today by default."}
    )
    step = ma.fields.Enum(Step, by_value=True, load_default=Step.DAY)
    by = ma.fields.Enum(By, by_value=True, load_default=By.KIND)


class UsageSeriesSchema(ReplySchema):
    """Calls of language models over time; every list is as long as `days`."""

    user_id = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "Whose; null: everybody's."}
    )
    step = ma.fields.String(required=True, validate=validate.OneOf([str(step) for step in Step]))
    days = ma.fields.List(
        ma.fields.Date(),
        required=True,
        metadata={"description": "First days of the steps, also of those without a call."},
    )
    series = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.List(ma.fields.Integer()),
        required=True,
        metadata={"description": "How many calls, by kind (such as `caption`) or model."},
    )
    cost_usd = ma.fields.List(
        ma.fields.Float(),
        required=True,
        metadata={"description": "Calls without a known end count with the most they may cost."},
    )


class ServerStateSchema(ReplySchema):
    """The state of the language model's server."""

    key = ma.fields.String(required=True, validate=validate.OneOf([str(s) for s in KeyState]))
    is_resting = ma.fields.Boolean(
        required=True,
        metadata={"description": "It failed too often lately; work waits and is lost nowhere."},
    )
    reason = ma.fields.String(required=True, allow_none=True)


class DailyBudgetSchema(ReplySchema):
    """The budget of today."""

    daily_usd = ma.fields.Float(
        required=True, allow_none=True, metadata={"description": "null: no limit."}
    )
    spent_usd = ma.fields.Float(
        required=True,
        metadata={"description": "Calls under way count with the most they may cost."},
    )
    left_usd = ma.fields.Float(required=True, allow_none=True)


class UsageTotalSchema(ReplySchema):
    """Calls of one day, purpose and model."""

    day = ma.fields.String(required=True)
    purpose = ma.fields.String(required=True, validate=validate.OneOf(PURPOSES))
    model = ma.fields.String(required=True)
    calls = ma.fields.Integer(required=True)
    paid = ma.fields.Integer(required=True)
    free = ma.fields.Integer(required=True)
    unseen = ma.fields.Integer(
        required=True, metadata={"description": "Nobody saw their end; they count at their most."}
    )
    under_way = ma.fields.Integer(required=True)
    input_tokens = ma.fields.Integer(required=True)
    output_tokens = ma.fields.Integer(required=True)
    cost_usd = ma.fields.Float(required=True)


class LanguageModelCallSchema(ReplySchema):
    """One call."""

    id = ma.fields.Integer(required=True)
    purpose = ma.fields.String(required=True, validate=validate.OneOf(PURPOSES))
    model = ma.fields.String(required=True)
    subject = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "What it was about: a picture's SHA-256 or a label. null in a reply to "
            "others than `user_id`."
        },
    )
    user_id = ma.fields.Integer(required=True, allow_none=True)
    job_id = ma.fields.Integer(required=True, allow_none=True)
    state = ma.fields.String(required=True, validate=validate.OneOf(CALL_STATES))
    input_tokens = ma.fields.Integer(required=True, allow_none=True)
    output_tokens = ma.fields.Integer(required=True, allow_none=True)
    cost_usd = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "What it counts with; null where the model's price is not known."},
    )
    failure = ma.fields.String(required=True, allow_none=True)
    detail = ma.fields.String(required=True, allow_none=True)
    created_at = ma.fields.DateTime(required=True)
    finished_at = ma.fields.DateTime(required=True, allow_none=True)


class UsageSchema(ReplySchema):
    """Calls of language models and their costs."""

    language_model = ma.fields.Nested(ServerStateSchema, required=True)
    user_id = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "Whose; null: everybody's."}
    )
    day = ma.fields.String(required=True, metadata={"description": "Today, UTC."})
    resets_in_s = ma.fields.Integer(required=True)
    budget = ma.fields.Nested(DailyBudgetSchema, required=True)
    is_budget_reached = ma.fields.Boolean(
        required=True,
        metadata={
            "description": "Less is left of the whole installation's budget of today than some kind "
            "of call made today can cost: such work waits for tomorrow."
        },
    )
    totals = ma.fields.List(ma.fields.Nested(UsageTotalSchema), required=True)
    calls = ma.fields.List(ma.fields.Nested(LanguageModelCallSchema), required=True)


def usage_body(
    usage: Usage, state: ServerState, user_id: int | None, reader_id: int
) -> dict[str, Any]:
    """Return the fields for `UsageSchema`.

    Args:
        usage: as it was read.
        state: of the server.
        user_id: whose usage it is; None: everybody's.
        reader_id: to whom it is told.
    """
    account = usage.account
    return {
        "language_model": state,
        "user_id": user_id,
        "day": usage.day,
        "resets_in_s": usage.resets_in_s,
        "budget": {
            "daily_usd": _usd(account.budget_micros),
            "spent_usd": usd(account.spent_micros),
            "left_usd": _usd(account.left_micros),
        },
        "is_budget_reached": usage.is_budget_reached,
        "totals": [_total_body(total) for total in usage.totals],
        "calls": [_call_body(call, reader_id) for call in usage.calls],
    }


def series_body(series: Series, step: Step, user_id: int | None) -> dict[str, Any]:
    """Return the fields for `UsageSeriesSchema`."""
    return {
        "user_id": user_id,
        "step": str(step),
        "days": series.days,
        "series": series.calls,
        "cost_usd": [usd(micros) for micros in series.cost_micros],
    }


def _total_body(total: Any) -> dict[str, Any]:
    names = UsageTotalSchema().fields.keys() - {"cost_usd"}
    return {name: getattr(total, name) for name in names} | {"cost_usd": usd(total.cost_micros)}


def _call_body(call: Any, reader_id: int) -> dict[str, Any]:
    same = ("id", "purpose", "model", "user_id", "job_id", "failure", "detail")
    # Whose picture it was about is the picture's secret, and so are the words of a caption:
    # administrators see no more of them than others. A label is no secret.
    is_told = call.user_id == reader_id or call.purpose == EXPANSION
    # What somebody else's call brought looks like any other, or it would tell of that one.
    state = "paid" if call.state == "shared" else str(call.state)
    counted = {"paid": call.cost_micros, "free": 0}
    return {
        **{name: getattr(call, name) for name in same},
        "subject": call.subject if is_told else None,
        "state": state,
        "input_tokens": call.input_tokens,
        "output_tokens": call.output_tokens,
        "cost_usd": _usd(counted.get(state, call.reserved_micros)),
        "created_at": time_of(call.created_at_ms),
        "finished_at": time_of(call.finished_at_ms),
    }


def _usd(micros: int | None) -> float | None:
    return None if micros is None else usd(micros)
