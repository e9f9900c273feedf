"""Classifications of uploaded pictures and stored images: create, list, read and forget them."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from mirada.classify import batch, remembered
from mirada.classify.batch import CLASSIFY_IMAGES, question_to_json
from mirada.embedding.interactive import require_embeddings
from mirada.feedback.verdicts import image_hash as hash_of
from mirada.kernel.errors import NotFound
from mirada.pictures import images
from webapp.api.classification_replies import classify_image, classify_upload, question_of
from webapp.callers.auth import require_user
from webapp.http.creations import idempotency_key, made_headers, once_parameters, queued
from webapp.http.current import current_runtime, request_id
from webapp.http.paging import Listed, PageQuery
from webapp.http.rest import (
    CHANGE_SEQ_HEADER,
    MIN_CHANGE_SEQ,
    ApiBlueprint,
    change_seq_headers,
    json_fields,
    multipart_fields,
)
from webapp.schemas.classification_forms import FormSchema, PictureFormSchema
from webapp.schemas.classifications import (
    CLASSIFICATION_EXAMPLE,
    REMEMBERED_EXAMPLE,
    BatchSchema,
    ClassificationSchema,
    JsonClassificationSchema,
    RememberedListQuerySchema,
    RememberedPageSchema,
    RememberedSchema,
    remembered_body,
)
from webapp.schemas.jobs import JOB_EXAMPLE, JobSchema

blueprint = ApiBlueprint(
    "classifications",
    __name__,
    url_prefix="/api/v1/classifications",
    description="What pictures show",
)
REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": JsonClassificationSchema,
            "example": {"image_id": 17, "labels": ["cat", "dog"], "probabilities": True},
        },
        "multipart/form-data": {
            "schema": PictureFormSchema,
            "example": {"file": "@cat.png", "labels": "cat, dog", "asset_id": "a-7"},
        },
    },
}


@blueprint.get("")
@blueprint.pages(
    "listClassifications",
    "List what you had classified, newest first",
    RememberedPageSchema,
    query=RememberedListQuerySchema,
    example=REMEMBERED_EXAMPLE,
)
def list_classifications(query: PageQuery) -> Listed[Any]:
    """Pictures that were sent, and stored images while the caller may see them.

    `result` is as it was when the picture was last classified.
    """
    user = require_user()
    with current_runtime().reading() as session:
        return Listed(
            remembered.list_classified(
                session, user.id, job_id=query.filters["job_id"], **query.bounds
            ),
            remembered_body,
        )


@blueprint.post("")
@blueprint.operation(
    "createClassification",
    "Classify a picture or a stored image",
    refusals=(400, 404, 409, 413, 415, 422),
    requestBody=REQUEST_BODY,
    parameters=[MIN_CHANGE_SEQ],
)
@blueprint.response(
    200, ClassificationSchema, example=CLASSIFICATION_EXAMPLE, headers=CHANGE_SEQ_HEADER
)
def create_classification() -> Any:
    """Send an image_id as JSON, or the file as multipart/form-data.

    A picture that is sent is remembered by hash, vector, theme and asset_id; its bytes are not
    kept. Classifying it again replaces what was remembered.
    """
    require_user()
    if request.mimetype == "multipart/form-data":
        body, headers = classify_upload(multipart_fields(FormSchema))
        return body, 200, headers
    fields = json_fields(
        JsonClassificationSchema,
        "Send an image_id as application/json, or a picture as multipart/form-data.",
    )
    return classify_image(fields)


@blueprint.post("/batches")
@blueprint.operation(
    "createClassificationBatch",
    "Classify many stored images as a job",
    refusals=(400, 404, 409, 413, 415, 422),
    parameters=once_parameters("one key never queues two jobs"),
)
@blueprint.arguments(BatchSchema, example={"image_ids": [17, 18], "labels": ["cat", "dog"]})
@blueprint.response(
    202,
    JobSchema,
    example=JOB_EXAMPLE | {"kind": CLASSIFY_IMAGES, "space_id": None},
    headers=made_headers("The job.", "queued the job"),
)
def create_classification_batch(fields: dict[str, Any]) -> Any:
    """The results are listed by `GET /api/v1/classifications?job_id=`, also while it runs."""
    user = require_user()
    runtime = current_runtime()
    require_embeddings(runtime)
    with runtime.transaction() as session:
        requested = batch.request_batch(
            session,
            owner_id=user.id,
            image_ids=None if fields["all"] else fields["image_ids"],
            question=question_to_json(question_of(fields)),
            request_id=request_id(),
            idempotency_key=idempotency_key(),
        )
    return queued(requested.job_id, CLASSIFY_IMAGES, user, was_replayed=requested.was_replayed)


@blueprint.get("/<image_hash>")
@blueprint.operation("getClassification", "Read what is remembered of a picture", refusals=(404,))
@blueprint.response(200, RememberedSchema, example=REMEMBERED_EXAMPLE)
def get_classification(image_hash: str) -> Any:
    """By the SHA-256 of its bytes; only what the caller had classified."""
    user = require_user()
    with current_runtime().reading() as session:
        row = remembered.get_classified(session, user.id, _checked(image_hash))
        return remembered_body(row)


@blueprint.delete("/<image_hash>")
@blueprint.operation("deleteClassification", "Forget a picture", refusals=(404,))
@blueprint.response(204, headers=CHANGE_SEQ_HEADER, description="It is forgotten.")
def delete_classification(image_hash: str) -> Any:
    """Images that show it stay; so does what others had classified."""
    user = require_user()
    with current_runtime().transaction() as session:
        remembered.forget(session, user.id, _checked(image_hash))
    return Response(status=204, headers=change_seq_headers(images.committed_change(session)))


def _checked(image_hash: str) -> str:
    known = hash_of(image_hash)
    if known is None:
        raise NotFound("A picture's hash is the SHA-256 of its bytes: 64 hex digits.")
    return known
