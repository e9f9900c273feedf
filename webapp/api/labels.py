"""The default label set: everybody reads it, an administrator edits it."""

from __future__ import annotations

from typing import Any

from flask import url_for
from flask.views import MethodView

from mirada.classify import label_set
from mirada.kernel.errors import InvalidInput, NotFound
from mirada.kernel.labels import DEFAULT_TEMPLATES, Label, normalised_name
from webapp.callers.auth import require_administrator
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint, header
from webapp.schemas.labels import (
    LABEL_EXAMPLE,
    LabelChangeSchema,
    LabelSchema,
    LabelSetSchema,
)

blueprint = ApiBlueprint(
    "labels",
    __name__,
    url_prefix="/api/v1/labels",
    description="By what pictures are judged where a request does not say",
)


@blueprint.route("")
class LabelSet(MethodView):
    """The default set."""

    @blueprint.operation("listLabels", "List the default labels")
    @blueprint.response(
        200,
        LabelSetSchema,
        example={
            "results": [LABEL_EXAMPLE],
            "count": 1,
            "is_edited": True,
            "templates": list(DEFAULT_TEMPLATES),
        },
    )
    def get(self) -> Any:
        """In their order; the built-in set until an administrator edits it."""
        with current_runtime().reading() as session:
            default = label_set.default_set(session)
            is_edited = label_set.is_edited(session)
        return {
            "results": [_body(label) for label in default],
            "count": len(default),
            "is_edited": is_edited,
            "templates": list(DEFAULT_TEMPLATES),
        }

    @blueprint.operation("resetLabels", "Go back to the built-in labels", refusals=(403,))
    @blueprint.response(204, description="The built-in set is in force.")
    def delete(self) -> None:
        """What was edited is gone. For administrators."""
        require_administrator()
        with current_runtime().transaction() as session:
            label_set.reset(session)


@blueprint.route("/<path:name>")
class LabelItem(MethodView):
    """One label of the default set."""

    @blueprint.operation("getLabel", "Read a default label", refusals=(404,))
    @blueprint.response(200, LabelSchema, example=LABEL_EXAMPLE)
    def get(self, name: str) -> Any:
        """Its description, prompt templates and threshold."""
        with current_runtime().reading() as session:
            return _body(label_set.get_label(session, _known_name(name)))

    @blueprint.operation(
        "putLabel", "Add or replace a default label", refusals=(400, 403, 409, 415, 422)
    )
    @blueprint.arguments(
        LabelChangeSchema,
        example={"description": "a cat or a kitten", "templates": ["a sticker of {}"]},
    )
    @blueprint.alt_response(
        201,
        schema=LabelSchema,
        description="It is new.",
        example=LABEL_EXAMPLE,
        headers={"Location": header("Where the label is.")},
    )
    @blueprint.response(200, LabelSchema, example=LABEL_EXAMPLE)
    def put(self, fields: dict[str, Any], name: str) -> Any:
        """A new one is the last of the set. For administrators.

        The first edit turns the built-in set into your own. What is left out is not set.
        """
        require_administrator()
        label = Label(_new_name(name), **fields)
        with current_runtime().transaction() as session:
            is_new = label_set.put_label(session, label)
        body = _body(label)
        return body, 201 if is_new else 200, {"Location": body["url"]} if is_new else {}

    @blueprint.operation("deleteLabel", "Take a default label out", refusals=(403, 404, 409))
    @blueprint.response(204, description="It is not in the set any more.")
    def delete(self, name: str) -> None:
        """What was classified by it keeps its result. For administrators."""
        require_administrator()
        with current_runtime().transaction() as session:
            label_set.delete_label(session, _known_name(name))


def _body(label: Label) -> dict[str, Any]:
    return {
        "name": label.name,
        "description": label.description,
        "templates": None if label.templates is None else list(label.templates),
        "threshold": label.threshold,
        "url": url_for("labels.LabelItem", name=label.name),
    }


def _known_name(text: str) -> str:
    try:
        return normalised_name(text)
    except InvalidInput as error:
        raise NotFound("The default set has no such label.") from error


def _new_name(text: str) -> str:
    try:
        return normalised_name(text)
    except InvalidInput as error:
        raise InvalidInput(error.detail, fields={"name": [error.detail]}) from error
