"""What an image shows, read and not computed; on the blueprint of images."""

from __future__ import annotations

from typing import Any

from flask import jsonify

from mirada.classify.labelling import LABEL_IMAGES, queue_labels
from mirada.classify.labels_of_image import labels_of_image
from mirada.kernel.errors import Unavailable
from webapp.api.images import blueprint
from webapp.callers.auth import current_caller, require_user
from webapp.http.creations import queued
from webapp.http.current import current_runtime, request_id
from webapp.http.rest import header
from webapp.schemas.image_labels import (
    IMAGE_LABELS_EXAMPLE,
    ImageLabelsSchema,
    image_labels_body,
)
from webapp.schemas.jobs import JOB_EXAMPLE, JobSchema


@blueprint.get("/<id:image_id>/labels")
@blueprint.operation("getImageLabels", "Read what an image shows", refusals=(404, 409))
@blueprint.alt_response(
    202,
    schema=JobSchema,
    description="Its labels have still to be judged. This job does it; ask again when it is done.",
    example=JOB_EXAMPLE | {"kind": LABEL_IMAGES, "space_id": None},
    headers={"Location": header("The job.")},
)
@blueprint.response(200, ImageLabelsSchema, example=IMAGE_LABELS_EXAMPLE)
def get_image_labels(image_id: int) -> Any:
    """Judged by the default labels when the picture came in; the fields are those of a classification.

    Reading remembers nothing, unlike a classification. Scores include what people said up to now.
    After an edit of the labels or a change of the model a worker judges every image again, those that
    somebody looks at first. Whoever has no key is answered 503 with Retry-After instead of 202.
    """
    runtime, caller = current_runtime(), current_caller()
    labelled = labels_of_image(runtime, image_id, caller.audience)
    if labelled is not None:
        return image_labels_body(labelled)
    with runtime.transaction() as session:
        job = queue_labels(session, image_id, owner_id=caller.user_id, request_id=request_id())
    if caller.user_id is None:
        runtime.doorbell.ring(job.id, job.kind)
        raise Unavailable(
            f"The labels of image {image_id} are being judged. Ask again shortly.", retry_after_s=2
        )
    body, status, headers = queued(job.id, LABEL_IMAGES, require_user())
    response = jsonify(JobSchema().dump(body))
    response.status_code = status
    response.headers.update(headers)
    return response
