"""Forms that bring a picture to be classified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from flask_smorest.fields import Upload
from marshmallow import validate

from mirada.search.found import MAX_K
from webapp.schemas.classifications import PictureQuestionSchema
from webapp.schemas.form_parts import FormPartsSchema
from webapp.schemas.labels import form_label_names, form_templates
from webapp.schemas.numbers import ClampedField


class FormSchema(FormPartsSchema, PictureQuestionSchema):
    """Classify a picture that comes along; a field that is sent empty counts as left out."""

    labels = form_label_names()
    templates = form_templates()
    asset_sha256 = ma.fields.String(
        validate=validate.Regexp(r"^\s*[0-9A-Fa-f]{64}\s*$", error="Must be 64 hex digits."),
        metadata={"description": "What the file's SHA-256 must be, else 422."},
    )

    @ma.pre_load
    def _without_blanks(self, data: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        return {name: data[name] for name in data if data[name] not in ("", [""])}


class PictureFormSchema(FormSchema):
    """The same with the file."""

    file = Upload(required=True, metadata={"description": "The picture; its bytes are not kept."})


class ForgivingFormSchema(FormSchema):
    """The same as the classifier's clients send it."""

    class Meta:
        """Take what the classifier took."""

        unknown = ma.EXCLUDE

    similar_limit = ClampedField(0, MAX_K, says="Most similar images; SIMILARITY_LIMIT.")


class ForgivingPictureFormSchema(ForgivingFormSchema):
    """The same with the file."""

    file = Upload(required=True, metadata={"description": "The picture; its bytes are not kept."})
