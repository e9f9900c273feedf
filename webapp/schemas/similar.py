"""Images like one: what may be asked, and the replies in three forms."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.kernel.external_ids import CAPTIONED_POSTS, is_of_source, known_as
from mirada.search.found import MAX_K, FoundImage
from mirada.search.posts import FoundPost
from mirada.search.related import DEFAULT_BLEND, Related, RelatedImage
from webapp.schemas.filters import FilterParametersSchema
from webapp.schemas.how_many import SimilarQuerySchema
from webapp.schemas.images import IMAGE_EXAMPLE, ImageSchema, image_body
from webapp.schemas.numbers import ClampedField, ForgivingField
from webapp.schemas.query_parts import NOT_BLANK
from webapp.schemas.relevance import (
    is_relevant_field,
    relevance_field,
    relevant_count_field,
    verdict_field,
)
from webapp.schemas.replies import MAX_PAGE, ReplySchema, ignored_names, list_of
from webapp.schemas.search_pages import RANKED_COUNT, SEARCH_NEXT, search_cursor
from webapp.schemas.search_wishes import mine_field
from webapp.schemas.switches import SwitchField

DEFAULT_RELATED, MAX_RELATED = 12, 20
"""CONTRACT A."""
RELATED_EXAMPLE = {
    "results": [
        {"image": IMAGE_EXAMPLE, "similarity": 0.83, "relevance": 0.96, "is_relevant": True}
    ],
    "count": 1,
    "verdict": "relevant",
    "relevant_count": 1,
    "blend": 0.5,
    "reason": "These are all there are that you may see.",
    "ranked_count": 1,
    "next": None,
}
GALLERY_EXAMPLE = {
    "count": 1,
    "results": [
        {
            "image": {
                "id": 17,
                "prompt": "film still of a lighthouse, anamorphic",
                "image_url": "/api/v1/images/17/file",
                "user": {"id": 1, "username": "local"},
                "like_count": 3,
                "comment_count": 1,
            },
            "similarity_score": 0.83,
        }
    ],
}


class SimilarPageQuerySchema(SimilarQuerySchema, FilterParametersSchema):
    """The same, which page, and which images."""

    mine = mine_field()
    cursor = search_cursor()


class RelatedQuerySchema(ma.Schema):
    """How many related images, and by what."""

    limit = ma.fields.Integer(load_default=DEFAULT_RELATED, validate=validate.Range(1, MAX_RELATED))
    blend = ma.fields.Float(
        load_default=DEFAULT_BLEND,
        validate=validate.Range(0, 1),
        metadata={
            "description": "Weight of the prompts' similarity: 0 compares pictures alone, 1 prompts "
            "alone. An image without a prompt is compared by its picture alone."
        },
    )
    mine = SwitchField(
        load_default=False, metadata={"description": "Only the caller's own images."}
    )


class RelatedPageQuerySchema(RelatedQuerySchema, FilterParametersSchema):
    """The same, which page, and which images."""

    cursor = search_cursor()


class GalleryQuerySchema(RelatedQuerySchema):
    """The same as the gallery's clients ask."""

    limit = ForgivingField(1, MAX_RELATED, DEFAULT_RELATED)


class RelatedImageSchema(ReplySchema):
    """One result."""

    image = ma.fields.Nested(ImageSchema, required=True)
    similarity = ma.fields.Float(
        required=True, metadata={"description": "Blended cosine in [-1, 1], higher is nearer."}
    )
    relevance = relevance_field()
    is_relevant = is_relevant_field()


RelatedSchema = list_of(
    RelatedImageSchema,
    "Related",
    verdict=verdict_field(),
    relevant_count=relevant_count_field(),
    blend=ma.fields.Float(
        required=True, metadata={"description": "The weight in force: 0 without a prompt."}
    ),
    reason=ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Why there are fewer than asked."}
    ),
    ranked_count=RANKED_COUNT,
    next=SEARCH_NEXT,
)


class KnownIdField(ma.fields.Raw):
    """An id as a client of an imported system knows it: a number, or text."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **_: Any) -> Any:
        return value


def known_id_field() -> ma.fields.Field:
    """Return the field of such an id, described."""
    told = "Ours; of what was imported from another system the id that it had there."
    return KnownIdField(
        required=True, metadata={"type": ["integer", "string"], "description": told}
    )


class GalleryOwnerSchema(ReplySchema):
    """A person as the gallery's clients know them."""

    id = known_id_field()
    username = ma.fields.String(required=True)


class GalleryImageSchema(ReplySchema):
    """An image as the gallery's clients know it."""

    id = known_id_field()
    prompt = ma.fields.String(required=True, allow_none=True)
    image_url = ma.fields.String(required=True)
    user = ma.fields.Nested(GalleryOwnerSchema, required=True)
    like_count = ma.fields.Integer(required=True)
    comment_count = ma.fields.Integer(required=True)


class GalleryResultSchema(ReplySchema):
    """One result in the gallery's form."""

    image = ma.fields.Nested(GalleryImageSchema, required=True)
    similarity_score = ma.fields.Float(required=True)


GallerySchema = list_of(GalleryResultSchema, "Gallery")


def related_body(found: Related) -> dict[str, Any]:
    """Return the fields for `RelatedSchema`."""
    return {
        "results": [
            {
                "image": image_body(result.image),
                "similarity": result.similarity,
                "relevance": result.hit.relevance,
                "is_relevant": result.hit.is_relevant,
            }
            for result in found.results
        ],
        "count": len(found.results),
        "verdict": str(found.judged.verdict),
        "relevant_count": found.judged.relevant_count,
        "blend": found.blend,
        "reason": found.reason,
        "ranked_count": found.ranked_count,
    }


def gallery_body(results: list[RelatedImage]) -> dict[str, Any]:
    """Return the fields for `GallerySchema`."""
    return {
        "count": len(results),
        "results": [
            {
                "image": {
                    "id": known_as(result.image.external_id, result.image.id),
                    "prompt": result.image.prompt,
                    "image_url": url_for("images.get_image_file", image_id=result.image.id),
                    "user": {
                        "id": known_as(result.image.owner_external_id, result.image.owner_id),
                        "username": result.image.owner_name,
                    },
                    "like_count": result.image.like_count,
                    "comment_count": result.image.comment_count,
                },
                "similarity_score": result.similarity,
            }
            for result in results
        ],
    }


MAX_QUERY_CHARS = 1_000
DEFAULT_POSTS = 10
IMAGE_POST_EXAMPLE = {
    "id": 17,
    "caption": "A cat with sunglasses",
    "description": "A cartoon cat that wears sunglasses and smiles",
    "prompt": None,
    "image_url": "/api/v1/images/17/file",
    "thumbnail_url": "/api/v1/images/17/thumbnail",
    "created_at": "2026-01-02T03:04:05+00:00",
    "similarity": 0.93,
    "relevance": 0.97,
    "is_relevant": True,
}


class ImagePostSchema(ReplySchema):
    """An image in the short list form of captioned posts."""

    id = known_id_field()
    caption = ma.fields.String(required=True, allow_none=True)
    description = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What a model wrote of the picture; null where none did."},
    )
    prompt = ma.fields.String(required=True, allow_none=True)
    image_url = ma.fields.String(required=True)
    thumbnail_url = ma.fields.String(required=True)
    created_at = ma.fields.DateTime(required=True)
    similarity = ma.fields.Float(
        required=True,
        metadata={
            "description": "Cosine in [-1, 1], higher is nearer. For a text it is the picture's, the "
            "caption's or the description's, whichever stands out most; the order is that of all "
            "together."
        },
    )
    relevance = relevance_field()
    is_relevant = is_relevant_field()
    ignored = ignored_names()


class CaptionQuerySchema(ma.Schema):
    """A question about captions, and how many answers."""

    query = ma.fields.String(
        required=True,
        validate=[validate.Length(max=MAX_QUERY_CHARS), NOT_BLANK],
        metadata={"description": "Words; their meaning counts."},
    )
    limit = ClampedField(1, MAX_PAGE, load_default=DEFAULT_POSTS)


class CaptionParametersSchema(ma.Schema):
    """The same in the address; what is missing there may come as JSON."""

    query = ma.fields.String(
        validate=[validate.Length(max=MAX_QUERY_CHARS), NOT_BLANK],
        metadata={"description": "Words; their meaning counts. Needed here or in the JSON body."},
    )
    limit = ClampedField(1, MAX_PAGE, says=f"{DEFAULT_POSTS} where it is left out.")


class SimilarPostsQuerySchema(SimilarQuerySchema):
    """The short list form has fewer by default."""

    limit = ClampedField(1, MAX_K, load_default=5)


def image_post(result: FoundImage | FoundPost) -> dict[str, Any]:
    """Return a search result's fields for `ImagePostSchema`."""
    image = result.image
    # Images of other systems are known here as everywhere in the API.
    was_post = is_of_source(image.external_source, CAPTIONED_POSTS)
    return {
        "id": known_as(image.external_id if was_post else None, image.id),
        "caption": image.caption,
        "description": image.description,
        "prompt": image.prompt,
        "image_url": url_for("images.get_image_file", image_id=image.id),
        "thumbnail_url": url_for("images.get_image_thumbnail", image_id=image.id),
        "created_at": image.created_at,
        "similarity": result.similarity,
        "relevance": result.hit.relevance,
        "is_relevant": result.hit.is_relevant,
    }
