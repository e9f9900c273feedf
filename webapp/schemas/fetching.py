"""Pictures that are sent as their addresses."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import validate

from mirada.kernel.asset_ids import checked_asset_id
from mirada.kernel.tags import MAX_TAGS
from mirada.kernel.user_text import MAX_TEXT_CHARS
from mirada.outgoing.target import MAX_URL_CHARS
from webapp.schemas.labels import CheckedField
from webapp.schemas.replies import ReplySchema
from webapp.schemas.switches import SwitchField
from webapp.schemas.tags import tag_list
from webapp.schemas.texts import ASSET_ID, STORED

MAX_LINES = 1000
"""Addresses of one request."""


class PictureAtUrlSchema(ma.Schema):
    """A picture at an address, and the image that it becomes."""

    url = ma.fields.String(
        required=True,
        validate=validate.Length(1, MAX_URL_CHARS),
        metadata={
            "description": "Where the picture is: http or https, on a public server, without a name "
            "or password in it."
        },
    )
    asset_id = CheckedField(
        checked_asset_id,
        load_default=None,
        allow_none=True,
        metadata=ASSET_ID | {"description": "What you call the picture; for you alone."},
    )
    caption = ma.fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=MAX_TEXT_CHARS),
        metadata={"pattern": STORED},
    )
    prompt = ma.fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=MAX_TEXT_CHARS),
        metadata={
            "pattern": STORED,
            "description": "What the picture was generated from. A blank one is filled from the file.",
        },
    )
    auto_caption = SwitchField(
        load_default=True,
        metadata={"description": "Whether a language model may describe the picture."},
    )
    is_public = SwitchField(
        load_default=False, metadata={"description": "Whether others may see and find it."}
    )
    tags = tag_list(f"Up to {MAX_TAGS} words to find it by.", load_default=())
    read_metadata = SwitchField(
        load_default=True,
        metadata={"description": "Whether to read what an image generator wrote into the file."},
    )


class LineErrorSchema(ReplySchema):
    """Why a line is not fetched."""

    code = ma.fields.String(required=True)
    detail = ma.fields.String(required=True)


class FetchedLineSchema(ReplySchema):
    """The outcome of one line."""

    line = ma.fields.Integer(required=True, metadata={"description": "Its number, from 1."})
    job_id = ma.fields.Integer(required=True, allow_none=True)
    job_url = ma.fields.String(required=True, allow_none=True)
    error = ma.fields.Nested(LineErrorSchema, required=True, allow_none=True)


class FetchedLinesSchema(ReplySchema):
    """The outcome of every line; empty ones count as lines and are left out."""

    queued = ma.fields.Integer(required=True)
    refused = ma.fields.Integer(required=True)
    results = ma.fields.List(ma.fields.Nested(FetchedLineSchema), required=True)


LINES_EXAMPLE = {
    "queued": 1,
    "refused": 1,
    "results": [
        {"line": 1, "job_id": 4, "job_url": "/api/v1/jobs/4", "error": None},
        {
            "line": 2,
            "job_id": None,
            "job_url": None,
            "error": {"code": "invalid_input", "detail": "The line is no JSON object."},
        },
    ],
}
