"""The routes of the embedding service: its description, and the vector of one picture."""

from __future__ import annotations

import re
from typing import Any

import marshmallow as ma
from flask import jsonify, redirect, request, url_for

from mirada import __version__
from mirada.embedding.interactive import interactive_encoder
from mirada.kernel.embeddings import EmbeddingSpace
from webapp.callers.auth import require_user
from webapp.compat.image_search import QueryPictureSchema
from webapp.http.current import current_runtime
from webapp.http.rest import ApiBlueprint, multipart_body
from webapp.http.uploads import query_of_upload
from webapp.schemas.replies import ReplySchema

blueprint = ApiBlueprint(
    "embedding_service",
    __name__,
    ignores_unknown=True,
    description="Routes of the embedding service",
)
_VIT_B_32 = re.compile(r"ViT-B-32(-quickgelu)?")


class ServiceInfoSchema(ReplySchema):
    """The description of the service and its endpoints."""

    service = ma.fields.String(required=True)
    version = ma.fields.String(required=True)
    status = ma.fields.String(required=True)
    endpoints = ma.fields.Dict(required=True)


class PictureEmbeddingSchema(ReplySchema):
    """One vector."""

    embedding = ma.fields.List(
        ma.fields.Float(), required=True, metadata={"description": "L2 norm 1."}
    )
    model = ma.fields.String(
        required=True,
        metadata={
            "description": "CLIP-ViT-B/32, as that service called it, for OpenAI's weights of "
            "ViT-B/32 alone; else encoder/pretrained."
        },
    )
    encoder = ma.fields.String(required=True, metadata={"description": "OpenCLIP architecture."})
    pretrained = ma.fields.String(required=True, metadata={"description": "Tag of its weights."})
    space = ma.fields.String(
        required=True, metadata={"description": "Vectors of two spaces are never comparable."}
    )
    device = ma.fields.String(required=True)


@blueprint.get("/")
@blueprint.operation("getService", "Read what this service is", security=[{}])
@blueprint.alt_response(302, description="A browser is sent to the pages.")
@blueprint.response(
    200,
    ServiceInfoSchema,
    example={
        "service": "mirada",
        "version": __version__,
        "status": "running",
        "endpoints": {"documentation": "/docs", "search": "/api/v1/search"},
    },
)
def get_service() -> Any:
    """JSON, unless the client prefers HTML."""
    accepted = request.accept_mimetypes
    if accepted.best_match(["application/json", "text/html"]) == "text/html":
        return redirect(url_for("pages.explore"))
    return jsonify(
        service="mirada",
        version=__version__,
        status="running",
        endpoints={
            "pages": url_for("pages.explore"),
            "documentation": url_for("docs.swagger_ui"),
            "openapi": url_for("docs.openapi_json"),
            "health": url_for("health.get_health"),
            "images": url_for("images.list_images"),
            "search": url_for("search.search_images"),
            "embed_image": url_for("embedding_service.embed_image"),
            "search_similar_images": url_for("image_search.search_similar_images"),
        },
    )


@blueprint.post("/embed-image")
@blueprint.operation(
    "embedImage",
    "Embed a picture",
    refusals=(400, 403, 409, 413, 415, 422),
    requestBody=multipart_body(QueryPictureSchema),
)
@blueprint.response(
    200,
    PictureEmbeddingSchema,
    example={
        "embedding": [0.0312, -0.0711],
        "model": "CLIP-ViT-B/32",
        "encoder": "ViT-B-32",
        "pretrained": "openai",
        "space": "image:ViT-B-32:openai:openclip-224-bicubic-v1",
        "device": "cpu",
    },
)
def embed_image() -> Any:
    """Nothing is kept. POST /api/v1/embeddings takes several, and texts."""
    require_user()
    query = query_of_upload()
    space = query.space
    return {
        "embedding": query.vector.tolist(),
        "model": _model_name(space),
        "encoder": space.encoder,
        "pretrained": space.pretrained,
        "space": space.name,
        "device": interactive_encoder(current_runtime()).device,
    }


def _model_name(space: EmbeddingSpace) -> str:
    """Return "CLIP-ViT-B/32" for the weights which that service used; else the model's own name.

    A client compares this name with that of the vectors it has stored, and other weights of the
    same architecture are another space.
    """
    is_the_same = space.pretrained == "openai" and _VIT_B_32.fullmatch(space.encoder)
    return "CLIP-ViT-B/32" if is_the_same else space.model
