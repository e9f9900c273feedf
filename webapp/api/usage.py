"""Usage of language models: calls, costs, budgets, and the state of the server."""

from __future__ import annotations

from typing import Any

from mirada.language_model import server_state, usage
from webapp.api.users import owner_in_path
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint
from webapp.schemas.usage import USAGE_EXAMPLE, UsageQuerySchema, UsageSchema, usage_body

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


def _whose(wanted: int | None) -> int | None:
    """Return the id of the user whose usage is told, None for everybody's. Raises NotFound."""
    user = require_user()
    if wanted is not None:
        return int(owner_in_path(wanted).id)
    return None if current_caller().is_administrator else user.id
