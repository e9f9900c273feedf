"""Usage of language models: calls, costs, budgets, and the state of the server."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from mirada.kernel.errors import InvalidInput
from mirada.language_model import series, server_state, usage
from webapp.api.users import owner_in_path
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint
from webapp.schemas.usage import (
    SERIES_EXAMPLE,
    USAGE_EXAMPLE,
    SeriesQuerySchema,
    UsageQuerySchema,
    UsageSchema,
    UsageSeriesSchema,
    series_body,
    usage_body,
)

blueprint = ApiBlueprint(
    "usage", __name__, url_prefix="/api/v1/usage", description="What language models cost"
)


@blueprint.get("")
@blueprint.operation("getUsage", "Read what language models cost", refusals=(404, 422))
@blueprint.arguments(UsageQuerySchema, location="query")
@blueprint.response(200, UsageSchema, example=USAGE_EXAMPLE)
def get_usage(query: dict[str, Any]) -> Any:
    """The caller's own calls; an administrator's reply tells of everybody, or of `user`.

    `budget` is that of whomever the reply tells of: the installation's, or one user's. A day
    begins at midnight UTC.
    """
    user_id = _whose(query["user"])
    runtime = current_runtime()
    with runtime.reading() as session:
        found = usage.read_usage(
            session, user_id, runtime.budgets, days=query["days"], limit=query["limit"]
        )
    return usage_body(
        found, server_state.language_model_state(runtime), user_id, reader_id=require_user().id
    )


MOST_DAYS = 366


@blueprint.get("/series")
@blueprint.operation(
    "getUsageSeries", "Read what language models cost over time", refusals=(404, 422)
)
@blueprint.arguments(SeriesQuerySchema, location="query")
@blueprint.response(200, UsageSeriesSchema, example=SERIES_EXAMPLE)
def get_usage_series(query: dict[str, Any]) -> Any:
    """The caller's own calls by day or month; an administrator's reply tells of everybody, or of `user`.

    At most 366 days, both ends included; the last 30 unless they are named.
    """
    user_id = _whose(query["user"])
    with current_runtime().reading() as session:
        first, last = _bounds(query["first"], query["last"], series.today(session))
        found = series.usage_series(
            session, user_id, first, last, step=query["step"], by=query["by"]
        )
    return series_body(found, query["step"], user_id)


def _bounds(first: date | None, last: date | None, today: date) -> tuple[date, date]:
    """Return the first and the last day that are asked for. Raises InvalidInput."""
    last = last or (today if first is None else max(first, today))
    if first is None:
        first = date.fromordinal(max(1, last.toordinal() - series.USUAL_DAYS + 1))
    if not timedelta(0) <= last - first < timedelta(days=MOST_DAYS):
        reason = (
            f"Ask for 1 to {MOST_DAYS} days: `to` lies {(last - first).days} days after `from`."
        )
        raise InvalidInput(reason, fields={"to": [reason]})
    return first, last


def _whose(wanted: int | None) -> int | None:
    """Return the id of the user whose usage is told, None for everybody's. Raises NotFound."""
    user = require_user()
    if wanted is not None:
        return int(owner_in_path(wanted).id)
    return None if current_caller().is_administrator else user.id
