"""The parameters of a thumbnail."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import validate

from mirada.kernel.copies import THUMBNAIL_SIDE_PX, THUMBNAIL_SIDES_PX


class ThumbnailQuerySchema(ma.Schema):
    """The size of a thumbnail."""

    size = ma.fields.Integer(
        load_default=THUMBNAIL_SIDE_PX,
        validate=validate.OneOf(THUMBNAIL_SIDES_PX),
        metadata={"description": "Longer side in pixels; a smaller picture is not enlarged."},
    )
