"""Embeddings: vectors for clients that compute with them."""

from __future__ import annotations

import marshmallow as ma
from flask_smorest.fields import Upload
from marshmallow import validate

from webapp.schemas.replies import ReplySchema
from webapp.schemas.search import MAX_QUERY_CHARACTERS, NOT_BLANK

MAX_TEXTS = 256
MAX_FILES = 32
EMBEDDINGS_EXAMPLE = {
    "embeddings": [[0.0312, -0.0711]],
    "count": 1,
    "dimension": 512,
    "model": "ViT-B-32",
    "space": "image:ViT-B-32:laion2b_s34b_b79k:openclip-224-bicubic-v1",
    "device": "cpu",
    "logit_scale": 100.0,
    "logit_bias": 0.0,
    "input_side_px": 224,
}


class TextsSchema(ma.Schema):
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
        metadata={"description": f"1 to {MAX_FILES} pictures, MAX_UPLOAD_MB in all."},
    )


class EmbeddingsSchema(ReplySchema):
    """Unit vectors in the order of what was sent."""

    embeddings = ma.fields.List(
        ma.fields.List(ma.fields.Float()),
        required=True,
        metadata={"description": "float32, L2 norm 1."},
    )
    count = ma.fields.Integer(required=True)
    dimension = ma.fields.Integer(required=True)
    model = ma.fields.String(required=True)
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
