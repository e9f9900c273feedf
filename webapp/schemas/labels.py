"""Labels and prompt templates of requests, and the default set."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from typing import Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.kernel.errors import InvalidInput
from mirada.kernel.labels import (
    MAX_LABELS,
    MAX_NAME_CHARACTERS,
    MAX_PROMPT_CHARACTERS,
    MAX_TEMPLATES,
    Label,
    normalised_description,
    normalised_name,
    normalised_templates,
)
from webapp.schemas.replies import ReplySchema, list_of
from webapp.schemas.texts import NAME, NAMES_IN_A_FORM, TEMPLATE, TEMPLATES_IN_A_FORM

SHOWN_FAULTS = 10
"""Labels at fault that one reply names."""
LABEL_EXAMPLE = {
    "name": "cat",
    "description": "a cat or a kitten",
    "templates": ["a sticker of {}"],
    "threshold": 0.4,
    "url": "/api/v1/labels/cat",
}


def _json_list(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ma.ValidationError("Is not a JSON array.") from error
    if not isinstance(found, list):
        raise ma.ValidationError("Is not a JSON array.")
    return found


class CheckedField(ma.fields.String):
    """Text that a function of the core checks and returns as it is to be used."""

    def __init__(self, check: Callable[[Any], Any], **more: Any) -> None:
        """Keep the function; it raises InvalidInput."""
        super().__init__(**more)
        self._check = check

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any
    ) -> Any:
        text = super()._deserialize(value, attr, data, **more)
        try:
            return self._check(text)
        except InvalidInput as error:
            raise ma.ValidationError(error.detail) from error


class LabelsField(ma.fields.Field):
    """1 to MAX_LABELS label names: a list, or text that is a JSON array or comma-separated."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any
    ) -> tuple[Label, ...]:
        names = _listed(value) if isinstance(value, str) else value
        if not isinstance(names, list):
            raise ma.ValidationError("Must be a list of names, as JSON or separated by commas.")
        if not 1 <= len(names) <= MAX_LABELS:
            raise ma.ValidationError(f"Send 1 to {MAX_LABELS} labels; this has {len(names)}.")
        faults: dict[int, list[str]] = {}
        labels: dict[str, Label] = {}
        for position, given in enumerate(names):
            try:
                name = normalised_name(given)
            except InvalidInput as error:
                faults[position] = [error.detail]
                if len(faults) == SHOWN_FAULTS:
                    break
                continue
            # The same name twice would share one probability between two rows.
            labels.setdefault(name, Label(name))
        if faults:
            raise ma.ValidationError(faults)
        return tuple(labels.values())


class CheckedListField(ma.fields.Field):
    """A list of texts that a function of the core checks and returns as it is to be used."""

    def __init__(
        self,
        check: Callable[[list[Any]], Any],
        parse: Callable[[str], list[Any]] | None = None,
        **more: Any,
    ) -> None:
        """Keep the functions; `parse` makes a list of a text, and None refuses texts."""
        super().__init__(**more)
        self._check = check
        self._parse = parse

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any
    ) -> Any:
        texts = self._parse(value) if self._parse is not None and isinstance(value, str) else value
        if not isinstance(texts, list):
            raise ma.ValidationError("Must be a list of texts.")
        try:
            return self._check(texts)
        except InvalidInput as error:
            raise ma.ValidationError(error.detail) from error


class FormLabelsField(LabelsField):
    """The same in a form: text that is a JSON array or comma-separated, in one part or several."""

    is_multiple = True

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any
    ) -> tuple[Label, ...]:
        names = [name for text in value for name in _listed(text)]
        return super()._deserialize(names, attr, data, **more)


def form_label_names() -> FormLabelsField:
    """Return the documented field of a form's own labels."""
    return FormLabelsField(
        metadata={
            "type": "string",
            "pattern": NAMES_IN_A_FORM,
            "description": f"1 to {MAX_LABELS} names, as a JSON array or separated by commas; equal ones "
            "count once. The part may be repeated. Left out: the default set.",
        }
    )


def label_names() -> LabelsField:
    """Return the documented field of a request's own labels."""
    return LabelsField(
        metadata={
            "type": "array",
            "items": {"type": "string", "maxLength": MAX_NAME_CHARACTERS, "pattern": NAME},
            "minItems": 1,
            "maxItems": MAX_LABELS,
            "description": f"1 to {MAX_LABELS} names; equal ones count once. Left out: the default set.",
        }
    )


def form_templates() -> CheckedListField:
    """Return a documented field of prompt templates in a form."""
    told = "A JSON array of prompt templates, instead of the labels' own. Each has {} once."
    return CheckedListField(
        normalised_templates,
        _json_list,
        metadata={"type": "string", "pattern": TEMPLATES_IN_A_FORM, "description": told},
    )


def templates_field(description: str, **more: Any) -> CheckedListField:
    """Return a documented field of prompt templates with one {} each."""
    return CheckedListField(
        normalised_templates,
        _json_list,
        metadata={
            "type": "array",
            "items": {"type": "string", "maxLength": MAX_PROMPT_CHARACTERS, "pattern": TEMPLATE},
            "minItems": 1,
            "maxItems": MAX_TEMPLATES,
            "description": f"{description} Each has {{}} once, for the label.",
        },
        **more,
    )


class LabelChangeSchema(ma.Schema):
    """A label of the default set; what is left out is not set."""

    description = CheckedField(
        normalised_description,
        load_default=None,
        allow_none=True,
        metadata={
            "maxLength": MAX_PROMPT_CHARACTERS,
            "pattern": NAME,
            "description": "A sentence that may join the prompts.",
        },
    )
    templates = templates_field(
        "Prompt templates instead of the built-in ones.", load_default=None, allow_none=True
    )
    threshold = ma.fields.Float(
        load_default=None,
        allow_none=True,
        validate=validate.Range(0, 1),
        metadata={"description": "Least score from which the label applies."},
    )


class LabelSchema(ReplySchema):
    """A label of the default set."""

    name = ma.fields.String(required=True)
    description = ma.fields.String(required=True, allow_none=True)
    templates = ma.fields.List(ma.fields.String(), required=True, allow_none=True)
    threshold = ma.fields.Float(required=True, allow_none=True)
    url = ma.fields.String(required=True)


LabelSetSchema = list_of(
    LabelSchema,
    "LabelSet",
    is_edited=ma.fields.Boolean(
        required=True, metadata={"description": "false: it is the built-in set."}
    ),
    templates=ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={"description": "The templates of labels that have none of their own."},
    ),
)


def label_body(label: Label) -> dict[str, Any]:
    """Return the fields for `LabelSchema`."""
    return {
        "name": label.name,
        "description": label.description,
        "templates": None if label.templates is None else list(label.templates),
        "threshold": label.threshold,
        "url": url_for("labels.get_label", name=label.name),
    }


def _listed(text: str) -> list[Any]:
    if text.lstrip().startswith("["):
        return _json_list(text)
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    try:
        # A comma too many is no label.
        return [name for row in rows for name in row if name.strip()]
    except csv.Error as error:
        raise ma.ValidationError("Is neither a JSON array nor comma-separated.") from error
