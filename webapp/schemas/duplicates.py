"""Groups of duplicates, as one viewer sees them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.batches.duplicates import WITHOUT_A_LOOK
from mirada.duplicates.best import Best, Reason
from mirada.duplicates.seen import Group
from mirada.duplicates.twins import Twin
from mirada.kernel.duplicates import Tier
from mirada.kernel.ids import LARGEST_ID
from mirada.pictures.shown_images import ShownImage
from webapp.schemas.batches import BATCH_EXAMPLE, ManyChangedSchema
from webapp.schemas.images import IMAGE_EXAMPLE, ImageSchema, image_body
from webapp.schemas.numbers import WholeField
from webapp.schemas.replies import PageQuerySchema, ReplySchema, page_of

TIERS = [tier.value for tier in Tier]
TIER_HELP = (
    "same_file: the same bytes. near: the same picture, scaled, compressed or mirrored. "
    "same_subject: pictures that show much the same, as the last grouping of near-duplicates found them."
)
KEEP, DELETE = "keep", "delete"
MOST_NAMED = 500
"""Images of a group that one request names; it need not name any."""
SHOWN = 24
"""Images of a group that a list shows."""
GROUP_EXAMPLE = {
    "id": 17,
    "tier": "near",
    "size": 2,
    "images": [IMAGE_EXAMPLE, IMAGE_EXAMPLE | {"id": 12}],
    "best": {"image_id": 12, "reason": "most_pixels"},
}
MERGED_EXAMPLE = BATCH_EXAMPLE | {"action": "merge", "done": 2, "failed_count": 0, "failed": []}
RUNNING_EXAMPLE = MERGED_EXAMPLE | {
    "done": 0,
    "job_id": 40,
    "job_url": "/api/v1/jobs/40",
    "state": "running",
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
        validate=validate.OneOf([KEEP, DELETE]),
        metadata={
            "description": "keep: they are no duplicates. delete: merge those of yours into one: the others "
            "go into the trash, and what they have goes to the one that is kept."
        },
    )
    keep = WholeField(
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, LARGEST_ID),
        metadata={
            "description": "With delete: which one of yours is kept; the best where it is not sent."
        },
    )
    ids = ma.fields.List(
        WholeField(validate=validate.Range(1, LARGEST_ID)),
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, MOST_NAMED),
        metadata={
            "description": "With delete: which of yours go; all others where it is not sent."
        },
    )

    @ma.validates_schema
    def _only_with_delete(self, data: dict[str, Any], **_: Any) -> None:
        for name in ("keep", "ids"):
            if data.get(name) is not None and data.get("others") == KEEP:
                raise ma.ValidationError("Only with others=delete; leave it out.", name)


class AllDuplicatesSchema(ma.Schema):
    """A decision on all groups of a tier."""

    tier = ma.fields.String(
        required=True,
        validate=validate.OneOf([tier.value for tier in WITHOUT_A_LOOK]),
        metadata={
            "description": "Groups of same_subject are merged one by one: their pictures differ."
        },
    )
    others = ma.fields.String(
        required=True,
        validate=validate.OneOf([DELETE]),
        metadata={
            "description": "delete: keep the best of each group, and merge the others into it."
        },
    )


class DecidedSchema(ReplySchema):
    """The outcome of a decision."""

    count = ma.fields.Integer(
        required=True,
        metadata={
            "description": "Images that are no duplicates of one another, or that were merged into the "
            "one that is kept."
        },
    )
    merged = ma.fields.Nested(
        ManyChangedSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The change, to undo it; null where nothing was merged."},
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
