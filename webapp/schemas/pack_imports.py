"""Packs that come in as ZIPs: the form, and what became of each file."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import url_for
from flask_smorest.fields import Upload
from marshmallow import validate

from mirada.packs.importing import MOST_PICTURES, ImportedPack
from mirada.packs.limits import MAX_TITLE_CHARACTERS
from webapp.schemas.many_files import FILES_EXAMPLE, FileOutcomesSchema, files_body
from webapp.schemas.packs import PACK_EXAMPLE, PackSchema, pack_body
from webapp.schemas.texts import SEEN, STORED
from webapp.schemas.uploads import NewImageFieldsSchema

OF_ONE = ("asset_id", "caption", "prompt", "read_metadata")
IMPORTED_EXAMPLE = {
    **FILES_EXAMPLE,
    "pack": PACK_EXAMPLE,
    "author": "Ana",
    "notes": ["01.webp has many emojis; the first 3 were taken."],
}


class PackImportFieldsSchema(NewImageFieldsSchema):
    """The fields beside the ZIP; tags, auto_caption and is_public count for each new picture."""

    class Meta:
        """Fields that are of one picture alone."""

        exclude = ("file", *OF_ONE)

    title = ma.fields.String(
        load_default=None,
        allow_none=False,
        validate=validate.Length(1, 10 * MAX_TITLE_CHARACTERS),
        metadata={
            "maxLength": MAX_TITLE_CHARACTERS,
            "pattern": SEEN,
            "description": "Of the pack, in place of the one in the ZIP.",
        },
    )
    identifier = ma.fields.String(
        load_default=None,
        allow_none=False,
        validate=validate.Length(1, MAX_TITLE_CHARACTERS),
        metadata={
            "pattern": STORED,
            "description": "Which pack, where contents.json has several.",
        },
    )


class PackImportSchema(PackImportFieldsSchema):
    """The same with the ZIP."""

    class Meta:
        """Fields that are of one picture alone."""

        exclude = OF_ONE

    file = Upload(
        required=True,
        metadata={
            "description": f"A ZIP with up to {MOST_PICTURES} pictures: an export of a pack from here, a "
            "pack of WhatsApp (contents.json, or .wastickers), or one with a manifest.json."
        },
    )


class ImportedPackSchema(FileOutcomesSchema):
    """A pack that came in, and what became of each file of its ZIP."""

    pack = ma.fields.Nested(PackSchema, required=True)
    author = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Who made the pack, as the ZIP says."},
    )
    notes = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={"description": "What of the ZIP's list was not followed."},
    )


def imported_body(imported: ImportedPack) -> dict[str, Any]:
    """Return the fields for `ImportedPackSchema`."""
    return {
        "pack": pack_body(imported.pack),
        "author": imported.author or None,
        "notes": imported.notes,
        **files_body(imported.outcomes, url_for("images.list_images")),
    }
