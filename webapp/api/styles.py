"""The list of known styles, and what the caller's own images have in common."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView

from mirada.kernel.errors import InvalidInput
from mirada.kernel.labels import normalised_name
from mirada.memory import style_list
from mirada.memory.styles import Style
from mirada.memory.taste import taste
from webapp.api.users import blueprint as users_blueprint
from webapp.callers.auth import require_administrator, require_user
from webapp.http.current import current_runtime
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


@users_blueprint.route("/me/memory")
class Memory(MethodView):
    """What the caller's images have in common."""

    @users_blueprint.operation("getMyMemory", "Read your styles, subjects and colours")
    @users_blueprint.response(200, MemorySchema, example=MEMORY_EXAMPLE)
    def get(self) -> Any:
        """Styles over time, favourite subjects, the palette; all of it of your own images alone."""
        return memory_body(taste(current_runtime(), require_user().id))


@blueprint.route("")
class StyleList(MethodView):
    """The list."""

    @blueprint.operation("listStyles", "List the known styles")
    @blueprint.response(
        200,
        StyleListSchema,
        example={"results": [STYLE_EXAMPLE], "count": 1, "is_edited": False},
    )
    def get(self) -> Any:
        """In its order; the built-in list until an administrator edits it."""
        with current_runtime().reading() as session:
            in_force = style_list.styles_in_force(session)
            is_edited = style_list.is_edited(session)
        return {
            "results": [style_body(style) for style in in_force],
            "count": len(in_force),
            "is_edited": is_edited,
        }

    @blueprint.operation("resetStyles", "Go back to the built-in styles", refusals=(403,))
    @blueprint.response(204, description="The built-in list is in force.")
    def delete(self) -> None:
        """What was edited is gone. For administrators."""
        require_administrator()
        with current_runtime().transaction() as session:
            style_list.reset(session)


@blueprint.route("/<path:name>")
class StyleItem(MethodView):
    """One style of the list."""

    @blueprint.operation("getStyle", "Read a known style", refusals=(404,))
    @blueprint.response(200, StyleSchema, example=STYLE_EXAMPLE)
    def get(self, name: str) -> Any:
        """By what it is recognised."""
        with current_runtime().reading() as session:
            return style_body(style_list.get_style(session, _known_name(name)))

    @blueprint.operation(
        "putStyle", "Add or replace a known style", refusals=(400, 403, 409, 415, 422)
    )
    @blueprint.arguments(
        StyleChangeSchema, example={"descriptions": ["dreamcore, liminal pastel playground"]}
    )
    @blueprint.alt_response(
        201,
        schema=StyleSchema,
        description="It is new.",
        example=STYLE_EXAMPLE,
        headers={"Location": header("Where the style is.")},
    )
    @blueprint.response(200, StyleSchema, example=STYLE_EXAMPLE)
    def put(self, fields: dict[str, Any], name: str) -> Any:
        """A new one is the last of the list. For administrators.

        The first edit turns the built-in list into your own. Suggestions follow at once.
        """
        require_administrator()
        style = Style(_new_name(name), fields["descriptions"])
        with current_runtime().transaction() as session:
            is_new = style_list.put_style(session, style)
        body = style_body(style)
        return body, 201 if is_new else 200, {"Location": body["url"]} if is_new else {}

    @blueprint.operation("deleteStyle", "Take a style out of the list", refusals=(403, 404, 409))
    @blueprint.response(204, description="It is not in the list any more.")
    def delete(self, name: str) -> None:
        """Nobody is suggested it any more by that name. For administrators."""
        require_administrator()
        with current_runtime().transaction() as session:
            style_list.delete_style(session, _known_name(name))


def _known_name(text: str) -> str:
    try:
        return normalised_name(text)
    except InvalidInput as error:
        raise style_list.no_such_style(text) from error


def _new_name(text: str) -> str:
    try:
        return normalised_name(text)
    except InvalidInput as error:
        raise InvalidInput(error.detail, fields={"name": [error.detail]}) from error
