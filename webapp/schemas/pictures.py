"""The pictures of an image: their addresses by size, and how they look before they are there."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import g, url_for
from marshmallow import validate

from mirada.kernel.copies import THUMBNAIL_SIDES_PX
from mirada.pictures.addresses import LEAST_TTL_S, MOST_TTL_S, USUAL_TTL_S, Link
from mirada.pictures.shown_images import ShownImage
from webapp.schemas.replies import ReplySchema

MOST_LINKS = 500
SRC_EXAMPLE = {
    str(side): f"/i/6f1c0d9a4be27358a1e0c4d7f9b23e58/{side}.webp" for side in THUMBNAIL_SIDES_PX
}
PICTURE_EXAMPLE = {
    "src": SRC_EXAMPLE,
    "has_alpha": False,
    "placeholder": "3OcRJYB4d3h/iIeHeEh3eIhw+j3A",
    "colour": "#dc2f45",
    "lightness": 0.62,
}
_SIGNED = "?until=1767326645&signature=0b9d5f7c21e84a36d5c8f2907e6b14a3"
LINKS_EXAMPLE = {
    "results": [
        {"image_id": 17, "src": {side: url + _SIGNED for side, url in SRC_EXAMPLE.items()}}
    ],
    "count": 1,
    "expires_at": "2026-01-02T04:04:05+00:00",
}


class SrcSchema(ReplySchema):
    """Addresses by the pixels of the longer side. A smaller picture is not enlarged."""

    class Meta:
        """Names that are no identifiers."""

        include = {  # noqa: RUF012 - as marshmallow has it
            str(side): ma.fields.String(required=True) for side in THUMBNAIL_SIDES_PX
        }
        unknown = ma.INCLUDE


def _seen(kind: type[ma.fields.Field], description: str, **more: Any) -> ma.fields.Field:
    """Return a field that is null until a worker has seen the picture."""
    said = f"{description} Null until the image is READY."
    return kind(required=True, allow_none=True, metadata={"description": said}, **more)


class PictureSchema(ReplySchema):
    """Where an image's pictures are, and how they look before they are there."""

    src = ma.fields.Nested(
        SrcSchema,
        required=True,
        allow_none=True,
        metadata={
            "description": "Still WebPs. Each change of who may see the image ends these addresses, "
            "and gives it new ones. Null where it has none yet: use `thumbnail_url`."
        },
    )
    has_alpha = _seen(ma.fields.Boolean, "Whether it is transparent somewhere.")
    placeholder = _seen(ma.fields.String, "Its ThumbHash, base64: up to 25 bytes.")
    colour = _seen(
        ma.fields.String,
        "Its commonest colour, as `#rrggbb` in sRGB.",
        validate=validate.Regexp("^#[0-9a-f]{6}$"),
    )
    lightness = _seen(
        ma.fields.Float,
        "Mean lightness (Oklab) of what is not transparent: 0 black, 1 white.",
        validate=validate.Range(0, 1),
    )


class PictureLinksSchema(ma.Schema):
    """Images, and for how long whoever has the addresses may see their pictures."""

    image_ids = ma.fields.List(
        ma.fields.Integer(strict=True),
        required=True,
        validate=validate.Length(1, MOST_LINKS),
        metadata={"description": f"1 to {MOST_LINKS} images."},
    )
    ttl_s = ma.fields.Integer(
        load_default=USUAL_TTL_S,
        strict=True,
        validate=validate.Range(LEAST_TTL_S, MOST_TTL_S),
        metadata={
            "description": "Seconds for which the addresses count at least; a quarter more at most."
        },
    )


class PictureLinkSchema(ReplySchema):
    """The addresses of one image's pictures."""

    image_id = ma.fields.Integer(required=True)
    src = ma.fields.Nested(SrcSchema, required=True)


class PictureLinksReplySchema(ReplySchema):
    """Addresses of pictures for whoever has no key."""

    results = ma.fields.List(ma.fields.Nested(PictureLinkSchema), required=True)
    count = ma.fields.Integer(required=True)
    expires_at = ma.fields.DateTime(
        required=True, metadata={"description": "When those of private images end."}
    )


def picture_body(image: ShownImage) -> dict[str, Any]:
    """Return the fields of an image's pictures for `PictureSchema`."""
    return {
        "src": None if image.picture_token is None else src_of(image.picture_token),
        "has_alpha": image.has_alpha,
        "placeholder": image.placeholder,
        "colour": image.colour,
        "lightness": image.lightness,
    }


def src_of(token: str, query: str = "") -> dict[str, str]:
    """Return the addresses by size; `query` stands behind each."""
    start = f"{_root()}/i/{token}/"
    return {
        "320": f"{start}320.webp{query}",
        "640": f"{start}640.webp{query}",
        "1280": f"{start}1280.webp{query}",
    }


def src_of_link(link: Link) -> dict[str, str]:
    """Return the addresses by size of a link for whoever has no key."""
    signed = link.signed
    if signed is None:
        return src_of(link.token)
    return src_of(link.token, f"?until={signed.until_s}&signature={signed.signature}")


def _root() -> str:
    # An address takes 20 us to build, and a page of images has hundreds that begin alike.
    found: str | None = g.get("pictures_root")
    if found is None:
        any_address = url_for("picture_addresses.get_picture", address="t", side=320)
        found = g.pictures_root = any_address.removesuffix("/i/t/320.webp")
    return found
