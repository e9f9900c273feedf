"""Embeddings of texts and pictures, for those who keep the vectors themselves."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
import numpy as np
from flask import Response, jsonify, request
from flask_smorest.fields import Upload
from marshmallow import validate

from mirada.embedding.interactive import interactive_encoder, picture_turn
from mirada.kernel.embeddings import BLOB_DTYPE, Matrix
from mirada.search import queries
from webapp.callers.auth import require_user
from webapp.http import unknown, uploads
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint, header, json_fields, request_header
from webapp.schemas.query_parts import MAX_QUERY_CHARACTERS, NOT_BLANK
from webapp.schemas.replies import ReplySchema

MAX_TEXTS = 256
MAX_FILES = 32
EMBEDDINGS_EXAMPLE = {
    "embeddings": [[0.0312, -0.0711]],
    "count": 1,
    "dimension": 512,
    "model": "ViT-B-32/laion2b_s34b_b79k",
    "space": "image:ViT-B-32:laion2b_s34b_b79k:openclip-224-bicubic-v1",
    "device": "cpu",
    "logit_scale": 100.0,
    "logit_bias": 0.0,
    "input_side_px": 224,
}


class TextListSchema(ma.Schema):
    """Texts to embed."""

    texts = ma.fields.List(
        ma.fields.String(validate=[validate.Length(1, MAX_QUERY_CHARACTERS), NOT_BLANK]),
        required=True,
        validate=validate.Length(1, MAX_TEXTS),
        metadata={
            "description": f"1 to {MAX_TEXTS} texts, none blank, of up to {MAX_QUERY_CHARACTERS} characters."
        },
    )


class PicturesSchema(ma.Schema):
    """Pictures to embed; nothing of them is kept."""

    file = ma.fields.List(
        Upload(),
        required=True,
        metadata={
            "minItems": 1,
            "maxItems": MAX_FILES,
            "description": f"1 to {MAX_FILES} pictures, MAX_UPLOAD_MB in all.",
        },
    )


class EmbeddingListSchema(ReplySchema):
    """Unit vectors in the order of what was sent."""

    embeddings = ma.fields.List(
        ma.fields.List(ma.fields.Float()),
        required=True,
        metadata={"description": "float32, L2 norm 1."},
    )
    count = ma.fields.Integer(required=True)
    dimension = ma.fields.Integer(required=True)
    model = ma.fields.String(required=True, metadata={"description": "encoder/pretrained."})
    space = ma.fields.String(
        required=True, metadata={"description": "Vectors of two spaces are never comparable."}
    )
    device = ma.fields.String(required=True)
    logit_scale = ma.fields.Float(
        required=True,
        metadata={"description": "A logit of a pair is logit_scale x cosine + logit_bias."},
    )
    logit_bias = ma.fields.Float(required=True)
    input_side_px = ma.fields.Integer(
        required=True,
        metadata={"description": "Side of the square the network sees, in pixels."},
    )


blueprint = ApiBlueprint(
    "embeddings", __name__, url_prefix="/api/v1/embeddings", description="Vectors"
)
RAW = "application/octet-stream"


@blueprint.post("")
@blueprint.operation(
    "createEmbeddings",
    "Embed texts or pictures",
    refusals=(400, 403, 409, 413, 415, 422),
    # Also because openapi-python-client forgets an import where two bodies have no parameter.
    parameters=[request_header("X-Request-ID", "An id of yours for the log; it comes back.")],
    requestBody={
        "required": True,
        "content": {
            "application/json": {
                "schema": TextListSchema,
                "example": {"texts": ["a cat with sunglasses", "um gato"]},
            },
            "multipart/form-data": {
                "schema": PicturesSchema,
                "example": {"file": ["@cat.png", "@dog.jpg"]},
            },
        },
    },
)
@blueprint.response(200, EmbeddingListSchema, example=EMBEDDINGS_EXAMPLE)
@blueprint.response(
    200,
    {"type": "string", "format": "binary"},
    content_type=RAW,
    description="With Accept: application/octet-stream, little-endian float32, row by row; "
    "X-Embedding-Count, X-Embedding-Dimension and X-Embedding-Space say what they are.",
    headers={
        "X-Embedding-Count": header("Rows; only of raw replies.", "integer"),
        "X-Embedding-Dimension": header("Numbers in a row; only of raw replies.", "integer"),
        "X-Embedding-Space": header("The space of the vectors; only of raw replies."),
    },
)
def create_embeddings() -> Any:
    """Nothing is kept. Pictures and texts share one space, so their cosines are comparable."""
    require_user()
    runtime, is_form = current_runtime(), request.mimetype == "multipart/form-data"
    files = []
    if is_form:
        unknown.check("form field", request.form, {"file"})
        files = uploads.uploaded_files(at_most=MAX_FILES)
    encoder = interactive_encoder(runtime)
    if is_form:
        with picture_turn(runtime):
            pictures = [
                queries.pixels_of(
                    runtime,
                    encoder,
                    uploads.staged_of(file).path,
                    uploads.declared_media_type(file),
                )
                for file in files
            ]
            vectors = encoder.encode_images(pictures)
    else:
        fields = json_fields(
            TextListSchema, "Send texts as application/json, or pictures as multipart/form-data."
        )
        vectors = runtime.remembering(encoder).encode_texts(fields["texts"])
    return _reply(vectors, encoder)


def _reply(vectors: Matrix, encoder: Any) -> Response:
    space = encoder.space
    if request.accept_mimetypes.best_match(["application/json", RAW]) == RAW:
        response = Response(np.ascontiguousarray(vectors, BLOB_DTYPE).tobytes(), mimetype=RAW)
        response.headers["X-Embedding-Count"] = str(len(vectors))
        response.headers["X-Embedding-Dimension"] = str(space.dimension)
        response.headers["X-Embedding-Space"] = space.name
        return response
    return jsonify(
        embeddings=vectors.tolist(),
        count=len(vectors),
        dimension=space.dimension,
        model=space.model,
        space=space.name,
        device=encoder.device,
        logit_scale=encoder.logit_scale,
        logit_bias=encoder.logit_bias,
        input_side_px=encoder.input_side_px,
    )
