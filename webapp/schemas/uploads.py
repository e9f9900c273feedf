"""The fields of an upload, and of a change of an image."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma
from flask_smorest.fields import Upload
from marshmallow import validate

from mirada.kernel.asset_ids import checked_asset_id
from mirada.kernel.tags import MAX_TAGS
from mirada.kernel.user_text import MAX_REASON_CHARS, MAX_TEXT_CHARS
from webapp.schemas.form_parts import FormPartsSchema
from webapp.schemas.labels import CheckedField
from webapp.schemas.switches import SwitchField
from webapp.schemas.tags import TagsField
from webapp.schemas.texts import ASSET_ID, STORED


class NewImageQuerySchema(ma.Schema):
    """The parameters of an upload, in its address."""

    caption = ma.fields.String(
        load_default=None,
        validate=validate.Length(max=MAX_TEXT_CHARS),
        metadata={
            "pattern": STORED,
            "description": "For clients that send it here; the form's counts if both are sent.",
        },
    )
    on_duplicate = ma.fields.String(
        load_default="create",
        validate=validate.OneOf(["create", "return"]),
        metadata={
            "description": "What to do where you have an image of the same bytes: `create` another, "
            "or `return` that one as it is, with 200; nothing else that was sent counts then."
        },
    )


class DeletionQuerySchema(ma.Schema):
    """The parameter of a deletion."""

    now = SwitchField(
        load_default=False,
        metadata={
            "description": "Erase it at once; it cannot be restored. Also what is in the trash."
        },
    )
    reason = ma.fields.String(
        load_default=None,
        validate=validate.Length(min=1, max=MAX_REASON_CHARS),
        metadata={
            "pattern": STORED,
            "description": "Of an administrator: why they delete somebody else's image. Its owner is told.",
        },
    )


def _asset_id_or_none(text: str) -> str | None:
    # A field of a form that is sent empty counts as left out.
    return checked_asset_id(text) if text.strip() else None


class NewImageFieldsSchema(FormPartsSchema):
    """The fields of an upload beside the picture."""

    file = Upload(
        metadata={"description": "The picture: JPEG, PNG, WebP, GIF, AVIF, HEIC, TIFF or BMP."}
    )
    asset_id = CheckedField(
        _asset_id_or_none,
        load_default=None,
        allow_none=False,
        metadata=ASSET_ID
        | {"description": "What you call the picture; for you alone, and need not be unique."},
    )
    caption = ma.fields.String(
        load_default=None,
        allow_none=False,
        validate=validate.Length(max=MAX_TEXT_CHARS),
        metadata={"pattern": STORED},
    )
    prompt = ma.fields.String(
        load_default=None,
        allow_none=False,
        validate=validate.Length(max=MAX_TEXT_CHARS),
        metadata={
            "pattern": STORED,
            "description": "What the picture was generated from. A blank one is filled from the file.",
        },
    )
    auto_caption = SwitchField(
        load_default=True,
        metadata={
            "description": "Whether a language model may describe the picture, and caption it where "
            "nobody did, where the server has one: a small copy, without metadata, is sent to it."
        },
    )
    is_public = SwitchField(
        load_default=False, metadata={"description": "Whether others may see and find it."}
    )
    tags = TagsField(
        load_default=(),
        metadata={
            "type": "string",
            "description": f"Up to {MAX_TAGS} words to find it by: a JSON array, or separated by commas.",
        },
    )
    read_metadata = SwitchField(
        load_default=True,
        metadata={"description": "Whether to read what an image generator wrote into the file."},
    )


class NewImageSchema(NewImageFieldsSchema):
    """The same with the file marked as required, which the view itself checks with better words."""

    file = Upload(
        required=True,
        metadata={"description": "The picture: JPEG, PNG, WebP, GIF, AVIF, HEIC, TIFF or BMP."},
    )


class ImageChangeSchema(ma.Schema):
    """The changes of an image; a field left out stays as it is."""

    class Meta:
        """Tell what a field alone cannot."""

        rules: ClassVar = {"minProperties": 1}

    caption = ma.fields.String(
        allow_none=True,
        validate=validate.Length(max=MAX_TEXT_CHARS),
        metadata={"pattern": STORED},
    )
    prompt = ma.fields.String(
        allow_none=True,
        validate=validate.Length(max=MAX_TEXT_CHARS),
        metadata={"pattern": STORED},
    )
    is_public = SwitchField()
    reason = ma.fields.String(
        validate=validate.Length(min=1, max=MAX_REASON_CHARS),
        metadata={
            "pattern": STORED,
            "description": "With is_public=false of an administrator: why they hide somebody else's "
            "image. Its owner is told.",
        },
    )

    @ma.validates_schema
    def _something_changes(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ma.ValidationError("Name at least one of caption, prompt and is_public.")
        if "reason" in data and data.get("is_public") is not False:
            raise ma.ValidationError("A reason goes with is_public=false.", "reason")
