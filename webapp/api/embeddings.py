"""Embeddings of texts and pictures, for those who keep the vectors themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
from flask import Response, jsonify, request
from flask.views import MethodView
from werkzeug.exceptions import UnsupportedMediaType

from mirada.embedding.interactive import interactive_encoder
from mirada.kernel.embeddings import BLOB_DTYPE, Matrix
from mirada.search import queries
from webapp.callers.auth import require_user
from webapp.http import uploads
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint, header
from webapp.schemas.embeddings import (
    EMBEDDINGS_EXAMPLE,
    MAX_FILES,
    EmbeddingsSchema,
    PicturesSchema,
    TextsSchema,
)

blueprint = ApiBlueprint(
    "embeddings", __name__, url_prefix="/api/v1/embeddings", description="Vectors"
)
RAW = "application/octet-stream"


@blueprint.route("")
class Embeddings(MethodView):
    """Vectors for texts or pictures."""

    @blueprint.operation(
        "createEmbeddings",
        "Embed texts or pictures",
        refusals=(400, 403, 409, 413, 415, 422),
        requestBody={
            "required": True,
            "content": {
                "application/json": {
                    "schema": TextsSchema,
                    "example": {"texts": ["a cat with sunglasses", "um gato"]},
                },
                "multipart/form-data": {
                    "schema": PicturesSchema,
                    "example": {"file": ["@cat.png", "@dog.jpg"]},
                },
            },
        },
    )
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
    @blueprint.response(200, EmbeddingsSchema, example=EMBEDDINGS_EXAMPLE)
    def post(self) -> Any:
        """Nothing is kept. Pictures and texts share one space, so their cosines are comparable."""
        require_user()
        runtime = current_runtime()
        encoder = interactive_encoder(runtime)
        if request.mimetype == "multipart/form-data":
            files = uploads.uploaded_files(at_most=MAX_FILES)
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
        elif request.is_json:
            fields = ApiBlueprint.ARGUMENTS_PARSER.parse(TextsSchema(), location="json")
            vectors = runtime.remembering(encoder).encode_texts(fields["texts"])
        else:
            raise UnsupportedMediaType(
                "Send texts as application/json, or pictures as multipart/form-data."
            )
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
        model=space.encoder,
        space=space.name,
        device=encoder.device,
        logit_scale=encoder.logit_scale,
        logit_bias=encoder.logit_bias,
        input_side_px=encoder.input_side_px,
    )
