"""The pictures in a pack, as they are sent and shown."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma
from marshmallow import validate

from mirada.packs.limits import MOST_ADDED, MOST_EMOJIS, MOST_IMAGES
from mirada.packs.member_rows import Member
from webapp.schemas.images import IMAGE_EXAMPLE, ImageSchema, image_body
from webapp.schemas.numbers import WholeField
from webapp.schemas.replies import CURSOR, PageQuerySchema, ReplySchema, page_of

LARGEST = 2**63 - 1
MEMBER_EXAMPLE = {"image": IMAGE_EXAMPLE, "emojis": ["😀", "🐱"]}


class EmojisField(ma.fields.List):
    """Emojis of a picture."""

    def __init__(self, **more: Any) -> None:
        """Take up to MOST_EMOJIS."""
        super().__init__(
            ma.fields.String(validate=validate.Length(1, 40)),
            validate=validate.Length(max=MOST_EMOJIS),
            metadata={
                "description": f"Up to {MOST_EMOJIS} emojis that the picture stands for in this pack. A "
                "search for one finds the picture."
            },
            **more,
        )


def _ids(most: int, says: str) -> ma.fields.List:
    return ma.fields.List(
        WholeField(validate=validate.Range(1, LARGEST)),
        required=True,
        validate=validate.Length(max=most),
        metadata={"description": says},
    )


def _emojis_by_id() -> ma.fields.Dict:
    return ma.fields.Dict(
        keys=ma.fields.Integer(validate=validate.Range(1, LARGEST)),
        values=EmojisField(),
        load_default=dict,
        metadata={"description": "Emojis by image id; those that are left out keep theirs."},
    )


class PackAdditionSchema(ma.Schema):
    """Pictures that come into a pack."""

    image_ids = _ids(MOST_ADDED, f"Up to {MOST_ADDED} images that you may see.")
    at = WholeField(
        load_default=None,
        allow_none=True,
        validate=validate.Range(0, MOST_IMAGES),
        metadata={
            "description": "Before the picture that you see at this place, from 0; at the end by default."
        },
    )
    emojis = _emojis_by_id()


class PackOrderSchema(ma.Schema):
    """All pictures of a pack in their order."""

    image_ids = _ids(
        MOST_IMAGES,
        f"Up to {MOST_IMAGES:,}, each once. What is left out leaves the pack; what you do not see keeps "
        "its place.",
    )
    emojis = _emojis_by_id()


class PackImageChangeSchema(ma.Schema):
    """Changes of a picture in a pack; what is left out stays."""

    class Meta:
        """Tell what a field alone cannot."""

        rules: ClassVar = {"anyOf": [{"required": ["emojis"]}, {"required": ["at"]}]}

    emojis = EmojisField(load_default=None)
    at = WholeField(
        load_default=None,
        validate=validate.Range(0, MOST_IMAGES),
        metadata={
            "description": "Its place among the pictures that you see, from 0; beyond the last one it is "
            "the last."
        },
    )

    @ma.validates_schema
    def _changes_something(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("emojis") is None and data.get("at") is None:
            raise ma.ValidationError("Send emojis, at or both.", "emojis")


class PackImageSchema(ReplySchema):
    """A picture in a pack."""

    image = ma.fields.Nested(ImageSchema, required=True)
    emojis = ma.fields.List(ma.fields.String(), required=True)


PackImagePageSchema = page_of(PackImageSchema, is_terse=True)


class PackImagesQuerySchema(PageQuerySchema):
    """The page of pictures."""

    cursor = ma.fields.String(
        load_default=None,
        metadata={
            "pattern": CURSOR,
            "description": "From `next` of the page before. It answers 410 once the picture that the "
            "page ended with has left the pack.",
        },
    )


def member_body(member: Member) -> dict[str, Any]:
    """Return the fields for `PackImageSchema`."""
    return {"image": image_body(member.image), "emojis": list(member.emojis)}
