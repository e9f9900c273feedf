"""Tags of images in requests and replies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from mirada.kernel.errors import InvalidInput
from mirada.kernel.tags import (
    MAX_TAG_CHARACTERS,
    MAX_TAGS,
    distinct_tags,
    normalised_tag,
    tag_beginning,
)
from webapp.schemas.labels import CheckedField, CheckedListField
from webapp.schemas.replies import PageQuerySchema, ReplySchema, page_of
from webapp.schemas.switches import SwitchField
from webapp.schemas.texts import NAME, STORED

TAG_EXAMPLE = {"name": "cat", "count": 12}
TAG_TEXT = {"maxLength": MAX_TAG_CHARACTERS, "pattern": NAME}


def tags_in(text: str) -> list[Any]:
    """Return the tags of a text: of a JSON array, or separated by commas; blanks between are none.

    Raises:
        ValidationError: it begins as a JSON array and is none.
    """
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except (RecursionError, ValueError) as error:
            raise ma.ValidationError(
                "Is not a JSON array. A tag that begins with [ has to stand in one."
            ) from error
        if not isinstance(found, list):
            raise ma.ValidationError("Is not a JSON array.")
        return found
    return [part for part in text.split(",") if part.strip()]


class TagsField(ma.fields.Field):
    """Tags in a form: text parts, each a JSON array or separated by commas."""

    is_multiple = True

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any
    ) -> tuple[str, ...]:
        try:
            return distinct_tags(tag for text in value for tag in tags_in(text))
        except InvalidInput as error:
            raise ma.ValidationError(error.detail) from error


def tag_list(says: str, **more: Any) -> CheckedListField:
    """Return the documented field of tags in a JSON body."""
    return CheckedListField(
        distinct_tags,
        metadata={
            "type": "array",
            "items": {"type": "string", **TAG_TEXT},
            "maxItems": MAX_TAGS,
            "description": says,
        },
        **more,
    )


class ImageTagsSchema(ma.Schema):
    """The tags of an image, all of them."""

    tags = tag_list(
        f"Up to {MAX_TAGS}, in the order that they are shown in; those that differ by capitals alone are "
        "one. None takes all off.",
        required=True,
    )


class TagChangeSchema(ma.Schema):
    """The new name of a tag."""

    name = CheckedField(
        normalised_tag,
        required=True,
        metadata=TAG_TEXT | {"description": "Where images have it already, the two are merged."},
    )


class TagListQuerySchema(PageQuerySchema):
    """The page of tags to list."""

    cursor = ma.fields.String(
        load_default=None,
        metadata={"description": "From `next` of the page before."},
    )
    prefix = CheckedField(
        tag_beginning,
        load_default="",
        metadata={
            "maxLength": MAX_TAG_CHARACTERS,
            "pattern": STORED,
            "description": "What they begin with, in capitals or not.",
        },
    )
    mine = SwitchField(
        load_default=False, metadata={"description": "Only those of the caller's own images."}
    )


class TagSchema(ReplySchema):
    """A tag, and how many images have it."""

    name = ma.fields.String(
        required=True, metadata={"description": "As it is written on the oldest of these images."}
    )
    count = ma.fields.Integer(
        required=True, metadata={"description": "Images that have it, of those you may see."}
    )


TagPageSchema = page_of(TagSchema)


class RenamedTagSchema(ReplySchema):
    """A tag that was renamed."""

    name = ma.fields.String(required=True)
    count = ma.fields.Integer(required=True, metadata={"description": "Images that were changed."})
    is_merged = ma.fields.Boolean(
        required=True, metadata={"description": "Whether images had the new name beside it."}
    )


RENAMED_EXAMPLE = {"name": "kitten", "count": 12, "is_merged": False}
