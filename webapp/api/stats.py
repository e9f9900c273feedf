"""Images in numbers."""

from __future__ import annotations

from typing import Any

from mirada.pictures.stats import library_stats
from webapp.callers.auth import require_administrator, require_user
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint
from webapp.schemas.stats import STATS_EXAMPLE, StatsQuerySchema, StatsSchema

blueprint = ApiBlueprint(
    "stats", __name__, url_prefix="/api/v1/stats", description="Images in numbers"
)


@blueprint.get("")
@blueprint.operation("getStats", "Read how many images there are", refusals=(403, 422))
@blueprint.arguments(StatsQuerySchema, location="query")
@blueprint.response(200, StatsSchema, example=STATS_EXAMPLE)
def get_stats(query: dict[str, Any]) -> Any:
    """The caller's own; all of them with `everybody=true`, for administrators."""
    owner_id = None if query["everybody"] and require_administrator() else require_user().id
    with current_runtime().reading() as session:
        return library_stats(session, owner_id)
