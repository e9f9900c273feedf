"""Groups of duplicates, as one viewer sees them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.duplicates.best import Best, Reason
from mirada.duplicates.seen import Group
from mirada.duplicates.twins import Twin
from mirada.kernel.duplicates import Tier
from mirada.pictures.shown_images import ShownImage
from webapp.schemas.images import IMAGE_EXAMPLE, ImageSchema, image_body
from webapp.schemas.replies import PageQuerySchema, ReplySchema, page_of

TIERS = [tier.value for tier in Tier]
TIER_HELP = (
    "same_file: the same bytes. near: the same picture, scaled, compressed or mirrored. "
    "same_subject: pictures that show much the same, as the last grouping of near-duplicates found them."
)
SHOWN = 24
"""Images of a group that a list shows."""
GROUP_EXAMPLE = {
    "id": 17,
    "tier": "near",
    "size": 2,
    "images": [IMAGE_EXAMPLE, IMAGE_EXAMPLE | {"id": 12}],
    "best": {"image_id": 12, "reason": "most_pixels"},
}
TWIN_EXAMPLE = {"tier": "near", "is_mirrored": False, "image": IMAGE_EXAMPLE}


class DuplicatesQuerySchema(PageQuerySchema):
    """The tier whose groups are listed."""

    tier = ma.fields.String(
        load_default=Tier.NEAR.value,
        validate=validate.OneOf(TIERS),
        metadata={"description": TIER_HELP},
    )


class BestSchema(ReplySchema):
    """A suggestion which image to keep."""

    image_id = ma.fields.Integer(required=True)
    reason = ma.fields.String(
        required=True,
        validate=validate.OneOf([reason.value for reason in Reason]),
        metadata={"description": "The first of these in which it is better than another."},
    )


class DuplicateGroupSchema(ReplySchema):
    """Images that duplicate one another, as if there were none but those that you may see."""

    id = ma.fields.Integer(
        required=True,
        metadata={"description": "Its newest image's; any of its images leads to it."},
    )
    tier = ma.fields.String(required=True, validate=validate.OneOf(TIERS))
    size = ma.fields.Integer(required=True, metadata={"description": "Images you may see."})
    images = ma.fields.List(
        ma.fields.Nested(ImageSchema),
        required=True,
        metadata={"description": f"Newest first, {SHOWN} at most."},
    )
    best = ma.fields.Nested(
        BestSchema,
        required=True,
        allow_none=True,
        metadata={
            "description": "Which one of your own to keep, of those that are shown; null: none is."
        },
    )


DuplicatePageSchema = page_of(
    DuplicateGroupSchema,
    waiting=ma.fields.Integer(
        required=True,
        metadata={"description": "Images of yours that were not compared with the others yet."},
    ),
)


class DuplicateDecisionSchema(ma.Schema):
    """A decision on a group of duplicates."""

    tier = ma.fields.String(
        required=True, validate=validate.OneOf(TIERS), metadata={"description": TIER_HELP}
    )
    others = ma.fields.String(
        required=True,
        validate=validate.OneOf(["keep"]),
        metadata={"description": "keep: they are no duplicates."},
    )


class NoDuplicatesSchema(ReplySchema):
    """A decision that is remembered."""

    count = ma.fields.Integer(
        required=True, metadata={"description": "Images that are no duplicates of one another."}
    )


class TwinSchema(ReplySchema):
    """An image that duplicates the one asked for."""

    tier = ma.fields.String(required=True, validate=validate.OneOf(TIERS[:2]))
    is_mirrored = ma.fields.Boolean(required=True)
    image = ma.fields.Nested(ImageSchema, required=True)


class TwinsSchema(ReplySchema):
    """The duplicates of an image that the caller may see: the same files, then the newest first."""

    results = ma.fields.List(ma.fields.Nested(TwinSchema), required=True)
    is_compared = ma.fields.Boolean(
        required=True,
        metadata={"description": "Whether it was compared with the other pictures yet."},
    )


def group_body(group: Group, images: dict[int, ShownImage], best: Best | None) -> dict[str, Any]:
    """Return the fields for `DuplicateGroupSchema`.

    Args:
        group: as the viewer sees it.
        images: those that are shown, by id.
        best: the suggestion; None where all of the viewer's own went a moment ago.
    """
    shown = [images[each.image_id] for each in group.members if each.image_id in images]
    return {
        "id": group.id,
        "tier": group.tier.value,
        "size": len(group.members),
        "images": [image_body(image) for image in shown],
        "best": None if best is None else {"image_id": best.image_id, "reason": best.reason.value},
    }


def twin_body(twin: Twin, image: ShownImage) -> dict[str, Any]:
    """Return the fields for `TwinSchema`."""
    return {
        "tier": twin.tier.value,
        "is_mirrored": twin.is_mirrored,
        "image": image_body(image),
    }
