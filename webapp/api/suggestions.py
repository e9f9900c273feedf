"""Suggestions while somebody types a search, and the searches that they made lately."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import url_for

from mirada.suggestions import recent
from mirada.suggestions.suggesting import suggestions
from webapp.callers.auth import current_caller, require_user
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint
from webapp.schemas.suggestions import (
    RECENT_SEARCH_EXAMPLE,
    SUGGESTION_EXAMPLE,
    NewRecentSearchSchema,
    RecentSearchListSchema,
    RecentSearchSchema,
    SuggestionListSchema,
    SuggestionQuerySchema,
)

blueprint = ApiBlueprint(
    "suggestions", __name__, url_prefix="/api/v1", description="What may be searched for"
)


@blueprint.get("/suggestions")
@blueprint.operation("listSearchSuggestions", "Suggest what to search for while somebody types")
@blueprint.arguments(SuggestionQuerySchema, location="query")
@blueprint.response(
    200, SuggestionListSchema, example={"results": [SUGGESTION_EXAMPLE], "count": 1}
)
def list_suggestions(query: dict[str, Any]) -> Any:
    """The likeliest first: the caller's searches, labels, styles, people, words. No model is asked.

    Words and labels are of the newest 5,000 public images, and of the caller's own newest. Nothing is
    suggested that only other people's private images hold. For an empty `q`: the caller's newest searches,
    and labels that images of theirs or public ones have.
    """
    found = suggestions(
        current_runtime(),
        current_caller().user_id,
        query["q"],
        limit=query["limit"],
        language=query["language"],
    )
    return {"results": [asdict(each) for each in found], "count": len(found)}


@blueprint.get("/recent-searches")
@blueprint.operation("listRecentSearches", "List the searches that you made lately, newest first")
@blueprint.response(
    200, RecentSearchListSchema, example={"results": [RECENT_SEARCH_EXAMPLE], "count": 1}
)
def list_recent_searches() -> Any:
    """The caller's own of the last 30 days that were kept, 100 at most. Nobody else sees them."""
    user = require_user()
    with current_runtime().reading() as session:
        found = [_body(row) for row in recent.recent_searches(session, user.id)]
    return {"results": found, "count": len(found)}


@blueprint.post("/recent-searches")
@blueprint.operation("keepRecentSearch", "Remember a search", refusals=(400, 415, 422))
@blueprint.arguments(NewRecentSearchSchema, example={"words": "red cat"})
@blueprint.response(200, RecentSearchSchema, example=RECENT_SEARCH_EXAMPLE)
def keep_recent_search(fields: dict[str, Any]) -> Any:
    """For 30 days, for the caller alone; the same words again, in capitals or not, are one search.

    Searches themselves remember nothing: a client sends what somebody has finished typing.
    """
    user = require_user()
    return _body(recent.keep_recent(current_runtime().database, user.id, fields["words"]))


@blueprint.delete("/recent-searches")
@blueprint.operation("eraseRecentSearches", "Erase all searches that you made lately")
@blueprint.response(204)
def erase_recent_searches() -> None:
    """The caller's own; they are gone at once."""
    recent.erase_all_recent(current_runtime().database, require_user().id)


@blueprint.get("/recent-searches/<id:search_id>")
@blueprint.operation("getRecentSearch", "Read a search that you made lately", refusals=(404,))
@blueprint.response(200, RecentSearchSchema, example=RECENT_SEARCH_EXAMPLE)
def get_recent_search(search_id: int) -> Any:
    """One of the caller's own."""
    user = require_user()
    with current_runtime().reading() as session:
        return _body(recent.get_recent(session, search_id, user.id))


@blueprint.delete("/recent-searches/<id:search_id>")
@blueprint.operation("eraseRecentSearch", "Erase a search that you made lately", refusals=(404,))
@blueprint.response(204)
def erase_recent_search(search_id: int) -> None:
    """One of the caller's own; it is gone at once."""
    recent.erase_recent(current_runtime().database, search_id, require_user().id)


def _body(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "created_at": row.created_at,
        "words": row.words,
        "searched_at": row.searched_at,
        "url": url_for("suggestions.get_recent_search", search_id=row.id),
    }
