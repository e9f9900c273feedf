"""The weights of a fused search's sources."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma
from marshmallow import validate

from webapp.schemas.query_parts import MAX_WEIGHT


def _weight(description: str) -> ma.fields.Float:
    return ma.fields.Float(
        validate=validate.Range(0, MAX_WEIGHT), metadata={"description": description}
    )


class WeightsSchema(ma.Schema):
    """How much each source counts in a fused search, 0 to 10; one that is not named is not used."""

    class Meta:
        """Tell what a field alone cannot."""

        rules: ClassVar = {"minProperties": 1}

    pictures = _weight("What pictures show.")
    prompts = _weight("The prompts they were made from, by meaning.")
    captions = _weight("Their captions and descriptions, by meaning; the nearer one counts.")
    keywords = _weight("The words of prompts and captions, as they are written.")

    @ma.validates_schema
    def _any(self, data: dict[str, float], **_: Any) -> None:
        if not any(data.values()):
            raise ma.ValidationError("At least one weight must be above 0.")
