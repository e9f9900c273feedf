"""Schemas of requests for drawings; the class keeps the name that the API documents."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import validate

from mirada.drawing.request import GENERATE_IMAGE
from mirada.kernel.user_text import MAX_TEXT_CHARS
from webapp.schemas.jobs import JOB_EXAMPLE

DRAWING_JOB_EXAMPLE = JOB_EXAMPLE | {
    "kind": GENERATE_IMAGE,
    "space_id": None,
    "state": "queued",
    "attempts": 0,
    "done": 0,
    "total": None,
    "rate_per_s": None,
    "eta_s": None,
    "next_attempt_in_s": 0.0,
    "started_at": None,
}


class NewGenerationSchema(ma.Schema):
    """A picture that does not exist yet."""

    prompt = ma.fields.String(
        required=True,
        validate=validate.Length(1, MAX_TEXT_CHARS),
        metadata={
            "description": "What to draw. It is sent to the language model's server, and is as public "
            "as the image."
        },
    )
    size = ma.fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, 20),
        metadata={
            "description": "WIDTHxHEIGHT in pixels as the model knows them, or auto; left out, "
            "GENERATION_SIZE."
        },
    )
    caption = ma.fields.String(
        load_default=None, allow_none=True, validate=validate.Length(max=MAX_TEXT_CHARS)
    )
    auto_caption = ma.fields.Boolean(
        load_default=True,
        metadata={
            "description": "Whether a language model may write a missing caption, where the server has "
            "one: as for an upload."
        },
    )
    is_public = ma.fields.Boolean(
        load_default=False, metadata={"description": "Whether others may see and find it."}
    )
