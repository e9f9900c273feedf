"""Exports of packs, and what keeps a messenger from taking one."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.packs.exporting import FORMATS, Export
from mirada.packs.faults import FaultCode
from webapp.schemas.replies import ReplySchema
from webapp.schemas.switches import SwitchField

CHECKED_EXAMPLE = {
    "can_be_exported": False,
    "faults": [
        {
            "image_id": 17,
            "place": 3,
            "code": "no_emoji",
            "reason": "WhatsApp asks for an emoji of each sticker; give it one.",
        }
    ],
    "sticker_count": 12,
    "byte_count": 0,
}


class QueuedExportSchema(ma.Schema):
    """The form of an export that a job makes."""

    format = ma.fields.String(
        required=True,
        validate=validate.OneOf(FORMATS),
        metadata={"description": "The originals, or stickers as a messenger takes them."},
    )


class PackExportSchema(QueuedExportSchema):
    """The form of an export that is waited for."""

    dry_run = SwitchField(
        load_default=False, metadata={"description": "Only say what keeps it from being exported."}
    )


class ExportFaultSchema(ReplySchema):
    """A reason why a pack cannot be exported."""

    image_id = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "null where it is the pack."}
    )
    place = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "In the pack, from 1."}
    )
    code = ma.fields.String(
        required=True, validate=validate.OneOf([each.value for each in FaultCode])
    )
    reason = ma.fields.String(required=True, metadata={"description": "With what to do about it."})


class CheckedExportSchema(ReplySchema):
    """The result of a dry run."""

    can_be_exported = ma.fields.Boolean(required=True)
    faults = ma.fields.List(ma.fields.Nested(ExportFaultSchema), required=True)
    sticker_count = ma.fields.Integer(required=True)
    byte_count = ma.fields.Integer(
        required=True, metadata={"description": "Of all files; 0 where there are faults."}
    )


def checked_body(export: Export) -> dict[str, Any]:
    """Return the fields for `CheckedExportSchema`."""
    return {
        "can_be_exported": not export.faults,
        "faults": [
            {
                "image_id": each.image_id,
                "place": each.place,
                "code": each.code.value,
                "reason": each.reason,
            }
            for each in export.faults
        ],
        "sticker_count": export.sticker_count,
        "byte_count": export.byte_count,
    }
