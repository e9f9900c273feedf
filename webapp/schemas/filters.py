"""Filters of images: the fields of requests, as parameters of an address and as an object in JSON.

Each attribute of `mirada.kernel.filters.ImageFilter` is one field here; `filter_of` of
`mirada.kernel.conditions` makes the value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.kernel.asset_ids import checked_asset_id
from mirada.kernel.colours import ColourName
from mirada.kernel.conditions import IS_ANIMATED, IS_PUBLIC, MAX_VALUES, moment_of
from mirada.kernel.errors import InvalidInput
from mirada.kernel.external_ids import checked_external_id
from mirada.kernel.filters import Area, Shape
from mirada.kernel.ids import LARGEST_ID
from mirada.kernel.images import ImageStatus
from mirada.kernel.labels import normalised_name
from mirada.kernel.tags import normalised_tag
from mirada.kernel.themes import theme_key
from mirada.kernel.user_text import MAX_FILENAME_CHARS, checked_part_of_filename
from webapp.http import json_bodies
from webapp.http.unknown import listed
from webapp.schemas.labels import CheckedField
from webapp.schemas.numbers import WholeField
from webapp.schemas.switches import SwitchField
from webapp.schemas.texts import ASSET_ID, EXTERNAL_ID, FILENAME, THEME


class MomentField(ma.fields.DateTime):
    """A time, or a date for its first moment; without a time zone it is in UTC."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any
    ) -> datetime:
        try:
            return moment_of(value)
        except InvalidInput as error:
            raise ma.ValidationError(error.detail) from error


def _said(text: str) -> dict[str, Any]:
    return {"description": text}


def _choice(values: Iterable[str], says: str) -> ma.fields.String:
    return ma.fields.String(validate=validate.OneOf(list(values)), metadata=_said(says))


def _choices(values: Iterable[str], says: str) -> ma.fields.List:
    known = list(values)
    one = ma.fields.String(validate=validate.OneOf(known))
    # A value that is said again changes nothing, so it is taken; but nobody needs to send it.
    told = _said(says) | {"maxItems": len(known), "uniqueItems": True}
    return _list(one, f'["{known[0]}"]', told)


def _ids(field: type[ma.fields.Integer], says: str) -> ma.fields.List:
    one = field(validate=validate.Range(1, LARGEST_ID))
    return _list(one, "[1]", _said(says))


def _list(one: ma.fields.Field, example: str, told: dict[str, Any]) -> ma.fields.List:
    return ma.fields.List(
        one,
        validate=validate.Length(1, MAX_VALUES),
        metadata=told,
        error_messages={"invalid": f"Must be a list, such as {example}."},
    )


_OF_A_PACK = (
    "Id of a pack of /api/v1/packs that the caller may see. Nothing is in one that fills itself: list its "
    "images there."
)


class FilterParametersSchema(ma.Schema):
    """The conditions that images have to meet, all of them; parameters of several values are repeated."""

    owner = _ids(ma.fields.Integer, "Ids of people: images that one of them owns.")
    visibility = _choice(IS_PUBLIC, "Who may see it.")
    status = _choices((each.value for each in ImageStatus), "Any of these.")
    kind = _choice(IS_ANIMATED, "Of one frame, or of several.")
    shape = _choices(
        (each.value for each in Shape),
        "Any of these. Sides that differ by up to a tenth of the shorter one are a square.",
    )
    colour = _choices(
        (each.value for each in ColourName),
        "Any of these is what its commonest colour is called, once it is READY.",
    )
    has_prompt = SwitchField(metadata=_said("Whether the prompt that it was made from is known."))
    liked = SwitchField(metadata=_said("Whether the caller likes it."))
    created_after = MomentField(
        metadata=_said("Uploaded then or later; a date is its first moment, in UTC.")
    )
    created_before = MomentField(metadata=_said("Uploaded before that."))
    theme = CheckedField(
        theme_key,
        metadata=THEME | _said("Accepted for this theme by a verdict that the caller may see."),
    )
    label = _list(
        CheckedField(normalised_name, metadata=THEME),
        '["cat"]',
        _said(
            "Any of these is what the caller's newest classification of it came to. An image that "
            "they never had classified has none."
        ),
    )
    tag = _list(
        CheckedField(normalised_tag, metadata=THEME),
        '["cat"]',
        _said("It has all of these tags, in capitals or not."),
    )
    shows = _list(
        CheckedField(normalised_name, metadata=THEME),
        '["cat"]',
        _said(
            "Any of these labels is what the model called its picture when it came in; a built-in "
            "label may be named in Portuguese or Spanish."
        ),
    )
    group = ma.fields.Integer(
        validate=validate.Range(1, LARGEST_ID),
        metadata=_said("Id of a group of /api/v1/clusters; groups go when the library is grouped."),
    )
    nsfw = SwitchField(
        metadata=_said("Whether it was judged unsafe; an image that was not judged yet is neither.")
    )
    asset_id = CheckedField(
        checked_asset_id,
        metadata=ASSET_ID | {"description": "Only the caller's own images of this name."},
    )
    area = CheckedField(
        lambda text: str(Area.read(text)),
        metadata={"pattern": "^[0-9]{1,5}(,[0-9]{1,5}){3}$"}
        | _said(
            "LEFT,TOP,RIGHT,BOTTOM: images that lie there on the map of /api/v1/map. Places change a "
            "little when the map is made anew."
        ),
    )
    pack = ma.fields.Integer(validate=validate.Range(1, LARGEST_ID), metadata=_said(_OF_A_PACK))
    external_id = CheckedField(
        checked_external_id,
        metadata=EXTERNAL_ID
        | {"description": "What the system that it was imported from calls it; see docs/moving."},
    )
    filename = CheckedField(
        checked_part_of_filename,
        validate=validate.Length(1, MAX_FILENAME_CHARS),
        metadata={"pattern": FILENAME}
        | _said("Part of the file's name, in capitals or not; of the caller's own images alone."),
    )


class ImageFilterSchema(FilterParametersSchema):
    """The conditions that images have to meet, all of them."""

    error_messages = {  # noqa: RUF012 - as marshmallow has it
        "type": 'Must be an object, such as {"kind": "still"}.',
        "unknown": "No condition has this name; `mine` stands beside the filter. The conditions are "
        f"{listed(FilterParametersSchema().fields)}.",
    }

    owner = _ids(WholeField, "Ids of people: images that one of them owns.")
    group = WholeField(
        validate=validate.Range(1, LARGEST_ID),
        metadata=_said("Id of a group of /api/v1/clusters; groups go when the library is grouped."),
    )
    pack = WholeField(validate=validate.Range(1, LARGEST_ID), metadata=_said(_OF_A_PACK))


def filter_field() -> ma.fields.Field:
    """Return the field with the conditions in a JSON body."""
    return ma.fields.Nested(
        ImageFilterSchema,
        load_default=None,
        allow_none=True,
        metadata=_said("Only images that meet every condition are searched."),
    )


def _read_json(text: object) -> object:
    """Return what a text field of a form holds as JSON."""
    try:
        given = json.loads(text) if isinstance(text, str) else None
    except (RecursionError, ValueError):
        given = None
    if not isinstance(given, dict):
        raise ma.ValidationError('Must be an object as JSON, such as {"kind": "still"}.')
    json_bodies.check(given)
    return given


def form_filter_field() -> ma.fields.Field:
    """Return the field with the same object in a form, where it is JSON in a text field."""
    told = "As a JSON object: only images that meet every condition are searched."
    # OpenAPI describes every object in a form so: JSON in a text field.
    return ma.fields.Nested(
        ImageFilterSchema, load_default=None, pre_load=_read_json, metadata=_said(told)
    )


@dataclass(frozen=True, slots=True)
class FacetRow:
    """A facet of lists, as requests name it.

    Attributes:
        attribute: what is counted.
        beside: attributes that say the same in other words.
        shown: makes the text that the parameter of that name takes of a value of the database.
    """

    attribute: str
    beside: tuple[str, ...] = ()
    shown: Callable[[Any], str] = str


def _yes_or_no(value: Any) -> str:
    return "true" if value else "false"


def _named(values: Mapping[str, bool]) -> Callable[[Any], str]:
    names = {value: name for name, value in values.items()}
    return lambda value: names[bool(value)]


FACETS: Mapping[str, FacetRow] = {
    "owner": FacetRow("owner_ids"),
    "visibility": FacetRow("is_public", shown=_named(IS_PUBLIC)),
    "status": FacetRow("statuses"),
    "kind": FacetRow("is_animated", shown=_named(IS_ANIMATED)),
    "shape": FacetRow("shapes"),
    "has_prompt": FacetRow("has_prompt", shown=_yes_or_no),
    "liked": FacetRow("is_liked", shown=_yes_or_no),
    "theme": FacetRow("theme"),
    "label": FacetRow("labels"),
    "shows": FacetRow("shows"),
    "tag": FacetRow("tags"),
    "pack": FacetRow("pack_id"),
    "month": FacetRow(
        "created_after",
        ("created_before",),
        lambda value: f"{int(value) // 100}-{int(value) % 100:02}",
    ),
}
"""By the names that `facets` takes."""


FILTER_NAMES = frozenset(FilterParametersSchema().fields)
"""The names of the attributes in requests."""
