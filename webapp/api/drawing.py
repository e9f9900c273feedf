"""Drawings: images made from words."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView

from mirada.drawing import request as drawing
from mirada.drawing.request import GENERATE_IMAGE, WantedDrawing
from mirada.kernel.errors import Conflict
from webapp.api.images import blueprint
from webapp.callers.auth import current_caller, require_user
from webapp.http.creations import idempotency_key, made_headers, once_parameters, queued
from webapp.http.current import current_runtime
from webapp.http.tracing import request_id
from webapp.schemas.drawing import DRAWING_JOB_EXAMPLE, NewGenerationSchema
from webapp.schemas.jobs import JobSchema

NO_KEY = "No picture can be made from words here: OPENAI_API_KEY is not set. Upload one instead."
NOT_ENABLED = (
    "Pictures are not made from words here (GENERATION_ENABLED=false). Upload one instead."
)


@blueprint.route("/generate")
class GeneratedImages(MethodView):
    """Images that are drawn for a user."""

    @blueprint.operation(
        "generateImage",
        "Make a picture from words",
        refusals=(400, 403, 409, 415, 422),
        parameters=once_parameters("one key never makes two pictures"),
    )
    @blueprint.arguments(
        NewGenerationSchema, example={"prompt": "a cat with sunglasses, film still"}
    )
    @blueprint.response(
        202,
        JobSchema,
        example=DRAWING_JOB_EXAMPLE,
        headers=made_headers("The job.", "queued the job"),
    )
    def post(self, fields: dict[str, Any]) -> Any:
        """The job's `result` names the image once it is done; from then on it is as any upload.

        It costs money, of the caller's daily budget: when that is reached the job waits for the next
        UTC day.
        """
        user = require_user()
        runtime = current_runtime()
        if not runtime.settings.generation_enabled:
            raise Conflict(NOT_ENABLED)
        if runtime.settings.openai_api_key is None:
            raise Conflict(NO_KEY)
        key = current_caller().key
        with runtime.transaction() as session:
            requested = drawing.request_drawing(
                session,
                WantedDrawing(user.id, **fields),
                api_key_id=None if key is None else key.id,
                request_id=request_id(),
                idempotency_key=idempotency_key(),
            )
        return queued(requested.job_id, GENERATE_IMAGE, user, was_replayed=requested.was_replayed)
