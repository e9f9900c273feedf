"""Images in numbers."""

from __future__ import annotations

import marshmallow as ma

from webapp.schemas.replies import ReplySchema

STATS_EXAMPLE = {
    "images": 340,
    "public": 120,
    "by_status": {"READY": 338, "FAILED": 2},
    "bytes": 412_000_000,
    "by_month": [{"month": "2026-01", "count": 340}],
}


class StatsQuerySchema(ma.Schema):
    """The images to count: the caller's own, or all."""

    everybody = ma.fields.Boolean(
        load_default=False, metadata={"description": "All images; for administrators."}
    )


class MonthOfImagesSchema(ReplySchema):
    """How many images came in a month."""

    month = ma.fields.String(required=True, metadata={"description": "UTC, YYYY-MM."})
    count = ma.fields.Integer(required=True)


class StatsSchema(ReplySchema):
    """Images in numbers."""

    images = ma.fields.Integer(required=True)
    public = ma.fields.Integer(required=True, metadata={"description": "How many are public."})
    by_status = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Integer(),
        required=True,
        metadata={"description": "Of each status that some have."},
    )
    bytes = ma.fields.Integer(
        required=True,
        metadata={"description": "Size of the files; one that was uploaded twice counts once."},
    )
    by_month = ma.fields.List(
        ma.fields.Nested(MonthOfImagesSchema),
        required=True,
        metadata={"description": "Months in which some came, the oldest first."},
    )
