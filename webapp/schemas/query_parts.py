"""Queries of several parts, as requests have them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar

import marshmallow as ma
from marshmallow import validate

from mirada.search.request import MAX_PARTS
from webapp.http import json_bodies
from webapp.schemas.numbers import WholeField
from webapp.schemas.rules import never, none_of, one_of

LEAST_WEIGHT, MAX_WEIGHT = 0.001, 10
MAX_QUERY_CHARACTERS = 2_000
"""Far beyond the 77 tokens that a text tower reads."""
MAX_VECTOR_NUMBERS = 8_192
MAX_FIELD_NAME = 100
# Written so that it means the same to the regular expressions of JSON Schema.
NOT_BLANK = validate.Regexp(r"[\s\S]*\S", error="Must not be blank.")
PART_KINDS = ("text", "image_id", "vector", "picture")


def _is_text(value: str) -> None:
    """Raise ValidationError for half a surrogate pair, which JSON can write and UTF-8 cannot."""
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ma.ValidationError("It holds half a surrogate pair, which is not text.")


class Syntax(StrEnum):
    """The way a text is read."""

    PLAIN = "plain"
    SIGNS = "signs"


class NumbersField(ma.fields.List):
    """A list of finite numbers, checked at once: field by field, 512 take longer than a search."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any
    ) -> list[Any]:
        if not isinstance(value, list) or any(type(x) not in (int, float) for x in value):
            raise ma.ValidationError("Must be a list of numbers.")
        try:
            is_finite = all(map(math.isfinite, value))
        except OverflowError:
            is_finite = False
        if not is_finite:
            raise ma.ValidationError("May hold finite numbers only, not NaN or infinity.")
        # As a cursor gives them back: a whole number of 30 digits is not the float nearest to it.
        return list(map(float, value))


class PictureField(ma.fields.Field[int | str]):
    """The id of a query picture, or the name of a file part of the same body."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any
    ) -> int | str:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not is_number and not (isinstance(value, str) and 0 < len(value) <= MAX_FIELD_NAME):
            raise ma.ValidationError(
                "Must be the id of a query picture, or in a multipart body the name of a file part."
            )
        return int(value) if is_number else str(value)


def text_field() -> ma.fields.String:
    """Return the field of a text to look for."""
    return ma.fields.String(
        validate=[validate.Length(1, MAX_QUERY_CHARACTERS), NOT_BLANK, _is_text],
        metadata={"description": "What to look for, in words."},
    )


def image_field(kind: type[ma.fields.Integer] = WholeField) -> ma.fields.Integer:
    """Return the field of a stored image to look for."""
    return kind(metadata={"description": "A stored image to find the like of; never a result."})


def kept_picture_field(kind: type[ma.fields.Integer] = WholeField) -> ma.fields.Integer:
    """Return the field of a query picture to look for."""
    return kind(metadata={"description": "A query picture to find the like of, by its id."})


def vector_field() -> NumbersField:
    """Return the field of a vector to look for."""
    return NumbersField(
        ma.fields.Float(),
        validate=validate.Length(1, MAX_VECTOR_NUMBERS),
        metadata={
            "description": "A vector of the space that is searched; its norm does not matter."
        },
    )


class QueryPartSchema(ma.Schema):
    """One part of a query: exactly one of text, image_id, vector and picture, and its weight."""

    class Meta:
        """Tell which fields go together."""

        rules: ClassVar = never(
            none_of(*PART_KINDS),
            *one_of(*PART_KINDS),
        )

    text = text_field()
    image_id = image_field()
    vector = vector_field()
    picture = PictureField(
        metadata={
            "description": "The id of a query picture (POST /api/v1/query-pictures), or in a multipart "
            "body the name of the part with the file.",
            "type": ["integer", "string"],
            "maxLength": MAX_FIELD_NAME,
            "minLength": 1,
        }
    )
    weight = ma.fields.Float(
        load_default=1.0,
        validate=validate.Range(-MAX_WEIGHT, MAX_WEIGHT),
        metadata={
            "description": f"How much the part counts, {LEAST_WEIGHT:g} to {MAX_WEIGHT}; below 0: less "
            "like this. Only the ratio of the weights above 0 matters.",
            "not": {"exclusiveMinimum": -LEAST_WEIGHT, "exclusiveMaximum": LEAST_WEIGHT},
        },
    )

    @ma.validates("weight")
    def _counts(self, value: float, data_key: str) -> None:
        if abs(value) < LEAST_WEIGHT:
            raise ma.ValidationError(
                f"Must be at least {LEAST_WEIGHT:g}, or at most -{LEAST_WEIGHT:g} for less like this; "
                "leave out a part that is not to count."
            )

    @ma.validates_schema
    def _one_kind(self, data: dict[str, Any], **_: Any) -> None:
        given = [kind for kind in PART_KINDS if kind in data]
        if len(given) != 1:
            raise ma.ValidationError(
                f"A part is exactly one of {', '.join(PART_KINDS)}; "
                + (f"this one has {' and '.join(given)}." if given else "this one has none.")
            )


class QueryField(ma.fields.List):
    """The parts of a query; in a form they are JSON in a text field."""

    def __init__(self, **more: Any) -> None:
        """Take 1 to MAX_PARTS parts."""
        super().__init__(
            ma.fields.Nested(QueryPartSchema),
            validate=validate.Length(1, MAX_PARTS),
            metadata={
                "description": f"1 to {MAX_PARTS} parts, of which one at least counts for something: "
                "texts, images, vectors and pictures together. Parts with a weight above 0 are "
                "blended; what is like a part with a weight below 0 moves down."
            },
            **more,
        )

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any
    ) -> list[Any]:
        if not isinstance(value, list):
            raise ma.ValidationError('Must be a list of parts, such as [{"text": "cat"}].')
        if len(value) > MAX_PARTS:
            raise ma.ValidationError(f"May have {MAX_PARTS} parts at most; this has {len(value)}.")
        found: list[Any] = super()._deserialize(value, attr, data, **more)
        return found


class FormQueryField(QueryField):
    """The same in a form, where it is JSON in a text field."""

    is_multiple = False
    """One text, and not a list of fields of one name; webargs asks."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **more: Any
    ) -> list[Any]:
        try:
            parts = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ma.ValidationError(
                'Must be JSON, such as [{"picture": "file"}, {"text": "hat"}].'
            ) from error
        json_bodies.check(parts)
        return super()._deserialize(parts, attr, data, **more)
