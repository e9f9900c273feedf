"""The default label set: list and read it; administrators edit it."""

from __future__ import annotations

from typing import Any

from mirada.classify.label_set import LABELS
from mirada.kernel.labels import DEFAULT_TEMPLATES, Label
from webapp.http.named_lists import (
    ETAG_HEADER,
    IF_MATCH,
    IF_NONE_MATCH,
    NAME_IN_PATH,
    EditedList,
)
from webapp.http.rest import ApiBlueprint, header
from webapp.schemas.labels import (
    LABEL_EXAMPLE,
    LabelChangeSchema,
    LabelSchema,
    LabelSetSchema,
    label_body,
)

blueprint = ApiBlueprint(
    "labels",
    __name__,
    url_prefix="/api/v1/labels",
    description="By what pictures are judged where a request does not say",
)
LIST = EditedList(LABELS, label_body)


@blueprint.get("")
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
    headers=ETAG_HEADER,
)
def list_labels() -> Any:
    """In their order; the built-in set until an administrator edits it."""
    return LIST.listed(templates=list(DEFAULT_TEMPLATES))


@blueprint.delete("")
@blueprint.operation(
    "resetLabels", "Go back to the built-in labels", refusals=(403, 412), parameters=[IF_MATCH]
)
@blueprint.response(204, description="The built-in set is in force.")
def reset_labels() -> None:
    """What was edited is gone. For administrators."""
    LIST.reset()


@blueprint.get("/<path:name>", parameters=[NAME_IN_PATH])
@blueprint.operation("getLabel", "Read a default label", refusals=(404,))
@blueprint.response(200, LabelSchema, example=LABEL_EXAMPLE, headers=ETAG_HEADER)
def get_label(name: str) -> Any:
    """Its description, prompt templates and threshold."""
    return LIST.read(name)


@blueprint.put("/<path:name>", parameters=[NAME_IN_PATH])
@blueprint.operation(
    "putLabel",
    "Add or replace a default label",
    refusals=(400, 403, 409, 412, 415, 422),
    parameters=[IF_MATCH, IF_NONE_MATCH],
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
    headers={"Location": header("Where the label is."), **ETAG_HEADER},
)
@blueprint.response(200, LabelSchema, example=LABEL_EXAMPLE, headers=ETAG_HEADER)
def put_label(fields: dict[str, Any], name: str) -> Any:
    """A new one is the last of the set. For administrators.

    The first edit turns the built-in set into your own. What is left out is not set.
    """
    return LIST.put(name, lambda known: Label(known, **fields))


@blueprint.delete("/<path:name>", parameters=[NAME_IN_PATH])
@blueprint.operation(
    "deleteLabel", "Take a default label out", refusals=(403, 404, 409, 412), parameters=[IF_MATCH]
)
@blueprint.response(204, description="It is not in the set any more.")
def delete_label(name: str) -> None:
    """What was classified by it keeps its result. For administrators."""
    LIST.delete(name)
