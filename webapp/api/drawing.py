"""Drawings: images made from words."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.drawing import request as drawing
from mirada.drawing.request import GENERATE_IMAGE, WantedDrawing
from mirada.kernel.errors import Conflict
from mirada.kernel.user_text import MAX_TEXT_CHARS
from mirada.pictures.quota import of_everybody
from webapp.api.images import blueprint
from webapp.callers.auth import current_caller, require_user
from webapp.http.creations import idempotency_key, made_headers, once_parameters, queued
from webapp.http.current import current_runtime, request_id
from webapp.schemas.jobs import JOB_EXAMPLE, JobSchema
from webapp.schemas.switches import SwitchField

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
    auto_caption = SwitchField(
        load_default=True,
        metadata={
            "description": "Whether a language model may describe the picture, and caption it where "
            "nobody did: as for an upload."
        },
    )
    is_public = SwitchField(
        load_default=False, metadata={"description": "Whether others may see and find it."}
    )


@blueprint.post("/generate")
@blueprint.operation(
    "generateImage",
    "Make a picture from words",
    refusals=(400, 403, 409, 415, 422),
    parameters=once_parameters("one key never makes two pictures"),
)
@blueprint.arguments(NewGenerationSchema, example={"prompt": "a cat with sunglasses, film still"})
@blueprint.response(
    202,
    JobSchema,
    example=DRAWING_JOB_EXAMPLE,
    headers=made_headers("The job.", "queued the job"),
)
def generate_image(fields: dict[str, Any]) -> Any:
    """The job's `result` names the image once it is done; from then on it is as any upload.

    It costs money, of the caller's daily budget: when that is reached the job waits for the next
    UTC day.
    """
    user = require_user()
    runtime = current_runtime()
    if not runtime.settings.generation_enabled:
        raise Conflict(
            "Pictures are not made from words here (GENERATION_ENABLED=false). Upload one instead."
        )
    if runtime.settings.openai_api_key is None:
        raise Conflict(
            "No picture can be made from words here: OPENAI_API_KEY is not set. Upload one instead."
        )
    key = current_caller().key
    with runtime.transaction() as session:
        requested = drawing.request_drawing(
            session,
            WantedDrawing(user.id, **fields),
            api_key_id=None if key is None else key.id,
            request_id=request_id(),
            idempotency_key=idempotency_key(),
            quota=of_everybody(runtime.settings),
        )
    return queued(requested.job_id, GENERATE_IMAGE, user, was_replayed=requested.was_replayed)
