"""Images and lists of them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import g, url_for
from marshmallow import validate

from mirada.pictures.shown_images import ShownImage
from webapp.schemas.pictures import PICTURE_EXAMPLE, PictureSchema, picture_body
from webapp.schemas.replies import ReplySchema, ResourceSchema, ignored_names

GENERATION_EXAMPLE = {
    "generator": "AUTOMATIC1111",
    "prompt": "a cat with sunglasses, film still",
    "negative_prompt": "blurry",
    "seed": "1894027718",
    "steps": 28,
    "cfg_scale": 6.5,
    "sampler": "DPM++ 2M",
    "scheduler": "Karras",
    "model": "sd_xl_base_1.0",
    "model_hash": "31e35c80fc",
    "width": 512,
    "height": 512,
    "extra": {"Version": "v1.10.1"},
}
IMAGE_EXAMPLE = {
    "id": 17,
    "owner": {"id": 1, "username": "local"},
    "filename": "cat.png",
    "asset_id": "sticker-7",
    "external_id": "203",
    "prompt": "a cat with sunglasses, film still",
    "caption": "A cat with sunglasses",
    "caption_source": "person",
    "caption_model": None,
    "description": "A cartoon cat that wears sunglasses and smiles",
    "description_model": "gpt-6-luna",
    "generation": GENERATION_EXAMPLE,
    "tags": ["cat", "film still"],
    "is_public": False,
    "is_hidden": False,
    "hidden_reason": None,
    "status": "READY",
    "failure": None,
    "like_count": 3,
    "comment_count": 1,
    "liked": False,
    "version": 2,
    "media_type": "image/png",
    "width": 512,
    "height": 512,
    "byte_size": 48210,
    "is_animated": False,
    "created_at": "2026-01-02T03:04:05+00:00",
    "updated_at": "2026-01-02T03:04:06+00:00",
    "url": "/api/v1/images/17",
    "file_url": "/api/v1/images/17/file",
    "thumbnail_url": "/api/v1/images/17/thumbnail",
    "animation_url": None,
    "picture": PICTURE_EXAMPLE,
    "similar_url": "/api/v1/images/17/similar",
    "related_url": "/api/v1/images/17/related",
}

ONE_IMAGE_EXAMPLE = IMAGE_EXAMPLE | {"duplicates": {"same_file": 0, "near": 2, "same_subject": 1}}


class OwnerSchema(ReplySchema):
    """The public fields of a user."""

    id = ma.fields.Integer(required=True)
    username = ma.fields.String(required=True)


def _said(kind: type[ma.fields.Field], description: str | None = None) -> ma.fields.Field:
    """Return a field that a file may say nothing about."""
    metadata = {} if description is None else {"description": description}
    return kind(required=True, allow_none=True, dump_default=None, metadata=metadata)


class GenerationSchema(ReplySchema):
    """The parameters of an image generator, as the file has them; null for a missing one."""

    generator = ma.fields.String(
        required=True, metadata={"description": "The program; `Unknown` if it does not say."}
    )
    prompt = _said(ma.fields.String)
    negative_prompt = _said(ma.fields.String)
    seed = _said(ma.fields.String, "Digits: 64 bits are more than a JSON number may keep.")
    steps = _said(ma.fields.Integer)
    cfg_scale = _said(ma.fields.Float)
    sampler = _said(ma.fields.String)
    scheduler = _said(ma.fields.String)
    model = _said(ma.fields.String)
    model_hash = _said(ma.fields.String)
    width = _said(ma.fields.Integer, "Pixels that were asked for.")
    height = _said(ma.fields.Integer, "Pixels that were asked for.")
    extra = ma.fields.Dict(
        keys=ma.fields.String(),
        required=True,
        dump_default=dict,
        metadata={"description": "Further settings by their own names: texts, numbers, booleans."},
    )


_GENERATION = GenerationSchema()


class ImageSchema(ResourceSchema):
    """One image as everybody who may see it sees it."""

    owner = ma.fields.Nested(OwnerSchema, required=True)
    filename = ma.fields.String(required=True, allow_none=True)
    asset_id = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What its owner calls it; for its owner only."},
    )
    external_id = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What the system calls it that it was imported from; else null."},
    )
    prompt = ma.fields.String(required=True, allow_none=True)
    caption = ma.fields.String(required=True, allow_none=True)
    generation = ma.fields.Nested(
        GenerationSchema,
        required=True,
        allow_none=True,
        metadata={"description": "What a generator wrote into the file; for its owner only."},
    )
    caption_source = ma.fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(["person", "model"]),
        metadata={"description": "Who wrote the caption; null without one."},
    )
    caption_model = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Which model wrote it."}
    )
    description = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "What a model wrote of the picture, also beside a person's caption; null "
            "where none did. It is no version of the image."
        },
    )
    description_model = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Which model wrote it."}
    )
    tags = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={"description": "Words that people put on it, in the order that they wrote them."},
    )
    is_public = ma.fields.Boolean(required=True)
    is_hidden = ma.fields.Boolean(
        required=True,
        metadata={
            "description": "Whether an administrator made it private; only one of them shows it again."
        },
    )
    hidden_reason = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "Why an administrator made it private, in their words; for its owner only."
        },
    )
    status = ma.fields.String(
        required=True, validate=validate.OneOf(["PENDING", "PROCESSING", "READY", "FAILED"])
    )
    failure = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Why status is FAILED."}
    )
    like_count = ma.fields.Integer(
        required=True,
        metadata={"description": "Everybody's, also of people who may no longer see the image."},
    )
    comment_count = ma.fields.Integer(required=True)
    liked = ma.fields.Boolean(
        required=True,
        metadata={"description": "Whether the caller likes it; false without a key."},
    )
    version = ma.fields.Integer(required=True)
    media_type = ma.fields.String(required=True)
    width = ma.fields.Integer(required=True, metadata={"description": "Pixels, upright."})
    height = ma.fields.Integer(required=True, metadata={"description": "Pixels, upright."})
    byte_size = ma.fields.Integer(required=True)
    is_animated = ma.fields.Boolean(required=True)
    updated_at = ma.fields.DateTime(required=True)
    file_url = ma.fields.String(required=True)
    thumbnail_url = ma.fields.String(required=True)
    animation_url = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The moving copy, for everybody who may see the image; null for stills."
        },
    )
    picture = ma.fields.Nested(PictureSchema, required=True)
    similar_url = ma.fields.String(required=True)
    related_url = ma.fields.String(required=True)


class DuplicateCountsSchema(ReplySchema):
    """The number of an image's duplicates, of those that you may see; each is counted in one tier."""

    same_file = ma.fields.Integer(required=True)
    near = ma.fields.Integer(required=True)
    same_subject = ma.fields.Integer(required=True)


class OneImageSchema(ImageSchema):
    """An image that is read by itself."""

    duplicates = ma.fields.Nested(DuplicateCountsSchema, required=True)


class CreatedImageSchema(ImageSchema):
    """An image that was just uploaded."""

    ignored = ignored_names()


def image_body(image: ShownImage) -> dict[str, Any]:
    """Return an image's fields for `ImageSchema`, as JSON has them but for the times."""
    url = f"{_images_url()}/{image.id}"
    return {
        "id": image.id,
        "owner": {"id": image.owner_id, "username": image.owner_name},
        "filename": image.filename,
        "asset_id": image.asset_id,
        "external_id": image.external_id,
        "prompt": image.prompt,
        "caption": image.caption,
        "caption_source": image.caption_source,
        "caption_model": image.caption_model,
        "description": image.description,
        "description_model": image.description_model,
        "generation": _generation_body(image.generation),
        "tags": image.tags or [],
        "is_public": image.is_public,
        "is_hidden": image.is_hidden,
        "hidden_reason": image.hidden_reason,
        "status": str(image.status),
        "failure": image.failure,
        "like_count": image.like_count,
        "comment_count": image.comment_count,
        "liked": image.liked,
        "version": image.version,
        "media_type": f"image/{image.format.lower()}",
        "width": image.width,
        "height": image.height,
        "byte_size": image.byte_size,
        "is_animated": image.is_animated,
        "created_at": image.created_at,
        "updated_at": image.updated_at,
        "url": url,
        "file_url": f"{url}/file",
        "thumbnail_url": f"{url}/thumbnail",
        "animation_url": f"{url}/animation" if image.is_animated else None,
        "picture": picture_body(image),
        "similar_url": f"{url}/similar",
        "related_url": f"{url}/related",
    }


def _generation_body(generation: dict[str, Any] | None) -> Any:
    if generation is None or generation.keys() == _GENERATION.fields.keys():
        return generation
    # An older version of Mirada wrote it, with other fields.
    return _GENERATION.dump(generation)


def _images_url() -> str:
    # An address takes 20 us to build, and a page of images has hundreds that begin alike.
    found: str | None = g.get("images_url")
    if found is None:
        found = g.images_url = url_for("images.list_images")
    return found
