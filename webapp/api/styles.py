"""The list of known styles, and the caller's memory: styles, subjects and colours."""

from __future__ import annotations

from typing import Any

from mirada.memory.styles import STYLES, Style
from mirada.memory.taste import taste
from webapp.api.users import blueprint as users_blueprint
from webapp.callers.auth import require_user
from webapp.http.current import current_runtime
from webapp.http.named_lists import (
    ETAG_HEADER,
    IF_MATCH,
    IF_NONE_MATCH,
    NAME_IN_PATH,
    EditedList,
)
from webapp.http.rest import ApiBlueprint, header
from webapp.schemas.styles import (
    MEMORY_EXAMPLE,
    STYLE_EXAMPLE,
    MemorySchema,
    StyleChangeSchema,
    StyleListSchema,
    StyleSchema,
    memory_body,
    style_body,
)

blueprint = ApiBlueprint(
    "styles",
    __name__,
    url_prefix="/api/v1/styles",
    description="The styles that suggestions know by name",
)
LIST = EditedList(STYLES, style_body)


@users_blueprint.get("/me/memory")
@users_blueprint.operation("getMyMemory", "Read your styles, subjects and colours")
@users_blueprint.response(200, MemorySchema, example=MEMORY_EXAMPLE)
def get_my_memory() -> Any:
    """Styles over time, favourite subjects, the palette; all of it of your own images alone."""
    return memory_body(taste(current_runtime(), require_user().id))


@blueprint.get("")
@blueprint.operation("listStyles", "List the known styles")
@blueprint.response(
    200,
    StyleListSchema,
    example={"results": [STYLE_EXAMPLE], "count": 1, "is_edited": False},
    headers=ETAG_HEADER,
)
def list_styles() -> Any:
    """In its order; the built-in list until an administrator edits it."""
    return LIST.listed()


@blueprint.delete("")
@blueprint.operation(
    "resetStyles", "Go back to the built-in styles", refusals=(403, 412), parameters=[IF_MATCH]
)
@blueprint.response(204, description="The built-in list is in force.")
def reset_styles() -> None:
    """What was edited is gone. For administrators."""
    LIST.reset()


@blueprint.get("/<path:name>", parameters=[NAME_IN_PATH])
@blueprint.operation("getStyle", "Read a known style", refusals=(404,))
@blueprint.response(200, StyleSchema, example=STYLE_EXAMPLE, headers=ETAG_HEADER)
def get_style(name: str) -> Any:
    """By what it is recognised."""
    return LIST.read(name)


@blueprint.put("/<path:name>", parameters=[NAME_IN_PATH])
@blueprint.operation(
    "putStyle",
    "Add or replace a known style",
    refusals=(400, 403, 409, 412, 415, 422),
    parameters=[IF_MATCH, IF_NONE_MATCH],
)
@blueprint.arguments(
    StyleChangeSchema, example={"descriptions": ["dreamcore, liminal pastel playground"]}
)
@blueprint.alt_response(
    201,
    schema=StyleSchema,
    description="It is new.",
    example=STYLE_EXAMPLE,
    headers={"Location": header("Where the style is."), **ETAG_HEADER},
)
@blueprint.response(200, StyleSchema, example=STYLE_EXAMPLE, headers=ETAG_HEADER)
def put_style(fields: dict[str, Any], name: str) -> Any:
    """A new one is the last of the list. For administrators.

    The first edit turns the built-in list into your own. Suggestions follow at once.
    """
    return LIST.put(name, lambda known: Style(known, fields["descriptions"]))


@blueprint.delete("/<path:name>", parameters=[NAME_IN_PATH])
@blueprint.operation(
    "deleteStyle",
    "Take a style out of the list",
    refusals=(403, 404, 409, 412),
    parameters=[IF_MATCH],
)
@blueprint.response(204, description="It is not in the list any more.")
def delete_style(name: str) -> None:
    """Nobody is suggested it any more by that name. For administrators."""
    LIST.delete(name)
