"""Packs and the pictures in them, as they are sent and shown."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.kernel.conditions import IS_PUBLIC
from mirada.kernel.themes import theme_key
from mirada.packs.limits import (
    MAX_DESCRIPTION_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    MOST_FOUND,
)
from mirada.packs.shown import ShownPack
from webapp.schemas.filters import filter_field
from webapp.schemas.how_many import threshold_field
from webapp.schemas.images import IMAGE_EXAMPLE, ImageSchema, OwnerSchema, image_body
from webapp.schemas.labels import CheckedField
from webapp.schemas.numbers import WholeField
from webapp.schemas.query_parts import image_field, text_field
from webapp.schemas.replies import (
    PageQuerySchema,
    ResourceSchema,
    page_of,
)
from webapp.schemas.rules import never, none_of, together
from webapp.schemas.search_wishes import in_field, syntax_field
from webapp.schemas.switches import SwitchField
from webapp.schemas.texts import SEEN, STORED, THEME

LARGEST = 2**63 - 1
NEW_PACK_EXAMPLE = {"title": "Happy cats", "description": "For good days", "theme": "happy cats"}
QUERY_EXAMPLE = {"text": "a happy cat", "filter": {"kind": "still"}}
PACK_EXAMPLE = {
    "id": 4,
    "title": "Happy cats",
    "description": "For good days",
    "owner": {"id": 1, "username": "local"},
    "is_public": False,
    "theme": "happy cats",
    "fills_itself": False,
    "query": None,
    "image_count": 12,
    "cover": IMAGE_EXAMPLE,
    "cover_image_id": 17,
    "version": 3,
    "created_at": "2026-01-02T03:04:05+00:00",
    "updated_at": "2026-01-02T03:09:05+00:00",
    "url": "/api/v1/packs/4",
    "images_url": "/api/v1/packs/4/images",
    "suggestions_url": "/api/v1/packs/4/suggestions",
}
_OF_OWNER = "For its owner only."


class PackQuerySchema(ma.Schema):
    """A search that fills a pack: a filter, or a text or an image with or without one."""

    class Meta:
        """Tell which fields go together."""

        rules: ClassVar = never(none_of("text", "image_id", "filter"), together("text", "image_id"))

    error_messages: dict[str, str] = {  # noqa: RUF012 - as marshmallow has it
        "type": 'Must be an object, such as {"text": "a happy cat"}.'
    }
    text = text_field()
    syntax = syntax_field()
    image_id = image_field()
    in_ = in_field()
    threshold = threshold_field()
    filter = filter_field()


class PackChangeSchema(ma.Schema):
    """Changes of a pack; what is left out stays."""

    title = ma.fields.String(
        validate=validate.Length(1, 10 * MAX_TITLE_CHARACTERS),
        metadata={
            "maxLength": MAX_TITLE_CHARACTERS,
            "pattern": SEEN,
            "description": f"One line of up to {MAX_TITLE_CHARACTERS} characters.",
        },
    )
    description = ma.fields.String(
        allow_none=True,
        validate=validate.Length(max=10 * MAX_DESCRIPTION_CHARACTERS),
        metadata={
            "maxLength": MAX_DESCRIPTION_CHARACTERS,
            "pattern": STORED,
            "description": f"Plain text of up to {MAX_DESCRIPTION_CHARACTERS:,} characters.",
        },
    )
    is_public = SwitchField(
        metadata={
            "description": "Whether everybody sees the pack. It shows nobody a picture that they may not "
            "see."
        }
    )
    theme = CheckedField(
        theme_key,
        allow_none=True,
        metadata=THEME
        | {
            "description": "What taking or rejecting a suggestion is a verdict for; null for none. "
            "Everybody is told of verdicts on public pictures, the theme's name included."
        },
    )
    cover_image_id = WholeField(
        allow_none=True,
        validate=validate.Range(1, LARGEST),
        metadata={"description": "A picture of the pack; null takes the first."},
    )
    query = ma.fields.Nested(
        PackQuerySchema,
        metadata={
            "description": "Makes a pack that fills itself: with the images that a filter lets pass, "
            f"the newest first, or the {MOST_FOUND} best that a search finds relevant. It is asked as "
            "whoever looks at the pack."
        },
    )


class NewPackSchema(PackChangeSchema):
    """A new pack, which is private unless it is said to be public."""

    class Meta:
        """A new pack has no pictures of which one could be the cover."""

        exclude = ("cover_image_id",)

    title = ma.fields.String(
        required=True,
        validate=validate.Length(1, 10 * MAX_TITLE_CHARACTERS),
        metadata={
            "maxLength": MAX_TITLE_CHARACTERS,
            "pattern": SEEN,
            "description": f"One line of up to {MAX_TITLE_CHARACTERS} characters.",
        },
    )


class PackSchema(ResourceSchema):
    """A pack as the caller sees it: of the pictures in it, those that they may see."""

    title = ma.fields.String(required=True)
    description = ma.fields.String(required=True, allow_none=True)
    owner = ma.fields.Nested(OwnerSchema, required=True)
    is_public = ma.fields.Boolean(required=True)
    theme = ma.fields.String(required=True, allow_none=True, metadata={"description": _OF_OWNER})
    fills_itself = ma.fields.Boolean(required=True)
    query = ma.fields.Dict(
        required=True, allow_none=True, metadata={"description": f"What fills it. {_OF_OWNER}"}
    )
    image_count = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Pictures that you may see; null where the pack fills itself."},
    )
    cover = ma.fields.Nested(
        ImageSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The chosen one or the first; null where you may see neither."},
    )
    cover_image_id = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The chosen cover, where you may see it; null for none."},
    )
    version = ma.fields.Integer(required=True, allow_none=True, metadata={"description": _OF_OWNER})
    updated_at = ma.fields.DateTime(
        required=True, allow_none=True, metadata={"description": _OF_OWNER}
    )
    images_url = ma.fields.String(required=True)
    suggestions_url = ma.fields.String(required=True)


class PackListQuerySchema(PageQuerySchema):
    """The page of packs to list, and which."""

    mine = SwitchField(load_default=False, metadata={"description": "Only the caller's own packs."})
    visibility = ma.fields.String(
        load_default=None,
        validate=validate.OneOf(list(IS_PUBLIC)),
        metadata={"description": "Public or private ones."},
    )
    title = ma.fields.String(
        load_default="",
        validate=validate.Length(max=MAX_TITLE_CHARACTERS),
        metadata={"description": "A part of the title, in capitals or not."},
    )
    image_id = ma.fields.Integer(
        load_default=None,
        validate=validate.Range(1, LARGEST),
        metadata={
            "description": "An image that the caller may see: packs that it was put into. What fills "
            "itself is not looked through."
        },
    )


PackPageSchema = page_of(PackSchema, is_terse=True)


def pack_body(pack: ShownPack) -> dict[str, Any]:
    """Return the fields for `PackSchema`."""
    url = url_for("packs.get_pack", pack_id=pack.id)
    chosen = pack.cover.id if pack.cover is not None and pack.has_chosen_cover else None
    return {
        "id": pack.id,
        "title": pack.title,
        "description": pack.description,
        "owner": {"id": pack.owner_id, "username": pack.owner_name},
        "is_public": pack.is_public,
        "theme": pack.theme,
        "fills_itself": pack.fills_itself,
        "query": None if pack.query is None else dict(pack.query),
        "image_count": pack.image_count,
        "cover": None if pack.cover is None else image_body(pack.cover),
        "cover_image_id": chosen,
        "version": pack.version,
        "created_at": pack.created_at,
        "updated_at": pack.updated_at,
        "url": url,
        "images_url": f"{url}/images",
        "suggestions_url": f"{url}/suggestions",
    }
