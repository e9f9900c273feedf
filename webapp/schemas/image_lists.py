"""Lists of images: what may be asked, and the reply."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate
from webargs.fields import DelimitedList

from mirada.kernel.duplicates import Tier
from mirada.pictures.image_lists import COUNTED_IMAGES, FACET_VALUES, Sort, Summary
from webapp.schemas.filters import FACETS, FilterParametersSchema
from webapp.schemas.images import ImageSchema
from webapp.schemas.replies import SORTED_CURSOR, PageQuerySchema, ReplySchema, page_of
from webapp.schemas.switches import SwitchField

LIST_EXAMPLE = {
    "total": {"value": 301, "is_exact": True},
    "facets": {"shape": [{"value": "square", "count": 212}, {"value": "portrait", "count": 89}]},
    "reason": None,
}


class ImageListQuerySchema(PageQuerySchema, FilterParametersSchema):
    """The page of images to list, and which images; `next` repeats everything but the facets."""

    cursor = ma.fields.String(
        load_default=None,
        metadata={"pattern": SORTED_CURSOR, "description": "From `next` of the page before."},
    )
    mine = SwitchField(
        load_default=False, metadata={"description": "Only the caller's own images."}
    )
    trash = SwitchField(
        load_default=False,
        metadata={"description": "The caller's own images that they deleted and can restore."},
    )
    sort = ma.fields.String(
        load_default=Sort.NEWEST.value,
        validate=validate.OneOf([sort.value for sort in Sort if sort is not Sort.TRASHED]),
        metadata={
            "description": "The order: by id, or by likes or pixels, the highest first and among "
            "equals the newest first. Not with `trash`."
        },
    )
    collapse = ma.fields.String(
        load_default=None,
        validate=validate.OneOf([tier.value for tier in Tier]),
        metadata={
            "description": "Show each group of duplicates of this tier once, as far as the caller sees it; "
            "`collapsed_count` says how many more of it meet the conditions. Not with `trash`."
        },
    )
    facets = DelimitedList(
        ma.fields.String(validate=validate.OneOf(list(FACETS))),
        load_default=list,
        metadata={
            "description": "Names of attributes, separated by commas: the reply counts their values "
            "among the images that meet the other conditions."
        },
    )

    @ma.validates_schema
    def _trash_has_its_order(self, data: dict[str, Any], **_: Any) -> None:
        if data["trash"] and data["sort"] != Sort.NEWEST.value:
            raise ma.ValidationError("With trash, what was deleted last comes first.", "sort")
        if data["trash"] and data["collapse"] is not None:
            raise ma.ValidationError("With trash, every image is shown.", "collapse")


class TotalSchema(ReplySchema):
    """The number of images of a whole list."""

    value = ma.fields.Integer(required=True)
    is_exact = ma.fields.Boolean(
        required=True,
        metadata={
            "description": f"False where there are more than {COUNTED_IMAGES:,}: they are not counted."
        },
    )


class ValueCountSchema(ReplySchema):
    """A value of an attribute."""

    value = ma.fields.String(
        required=True,
        metadata={"description": "As the parameter of that name takes it; a month as 2026-01."},
    )
    count = ma.fields.Integer(
        required=True, metadata={"description": "Images that have it, of those you may see."}
    )


class ListedImageSchema(ImageSchema):
    """One image of a list."""

    collapsed_count = ma.fields.Integer(
        metadata={"description": "With `collapse` alone: how many more images it stands for."}
    )
    trashed_at = ma.fields.DateTime(
        metadata={"description": "When it was deleted; of images in the trash alone."}
    )
    gone_at = ma.fields.DateTime(
        metadata={
            "description": "Until when it can be restored; soon after that it is erased. Of images in the "
            "trash alone."
        }
    )


ImageListSchema = page_of(
    ListedImageSchema,
    total=ma.fields.Nested(
        TotalSchema,
        required=True,
        allow_none=True,
        metadata={
            "description": "Of the whole list; null on later pages, where it is not counted."
        },
    ),
    facets=ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.List(ma.fields.Nested(ValueCountSchema)),
        required=True,
        metadata={
            "description": f"By name, at most {FACET_VALUES} values each, the most frequent first. "
            "What was asked of an attribute itself does not narrow its facet. Empty on later pages; "
            f"of more than {COUNTED_IMAGES:,} images some are counted."
        },
    ),
    reason=ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Why the list is empty, where a condition is to blame."},
    ),
)


def summary_body(found: Summary | None) -> dict[str, Any]:
    """Return the fields of `ImageListSchema` beside the page; None for a later page."""
    if found is None:
        return {"total": None, "facets": {}, "reason": None}
    return {
        "total": {"value": found.total.value, "is_exact": found.total.is_exact},
        "facets": {
            name: [
                {"value": row.shown(each.value), "count": each.count}
                for each in found.facets[row.attribute]
            ]
            for name, row in FACETS.items()
            if row.attribute in found.facets
        },
        "reason": found.reason,
    }
