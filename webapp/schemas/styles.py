"""Styles: suggestions, the list of known styles, and a person's memory."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import url_for
from marshmallow import validate

from mirada.kernel.labels import MAX_PROMPT_CHARACTERS
from mirada.memory.styles import MAX_DESCRIPTIONS, Style, normalised_descriptions
from mirada.memory.summary import MOST_SHOWN, MOST_STYLES, OwnStyle, Taste
from webapp.schemas.labels import CheckedListField
from webapp.schemas.numbers import ForgivingField
from webapp.schemas.replies import ReplySchema, list_of
from webapp.schemas.texts import NAME

DEFAULT_SUGGESTIONS = 5
"""CONTRACT A."""
KINDS = ("listed", "phrase", "group", "look")
SUGGESTION_EXAMPLE = {
    "label": "Cinematic",
    "example_prompt": "film still of a lighthouse, anamorphic",
    "example_image_id": 17,
    "frequency": 21,
    "confidence": 0.94,
    "kind": "listed",
}
MEMORY_EXAMPLE = {
    "images": 60,
    "prompts": 57,
    "months": [{"month": "2026-01", "count": 60}],
    "styles": [
        SUGGESTION_EXAMPLE
        | {"by_month": [{"month": "2026-01", "count": 21}], "image_ids": [17, 16, 12]}
    ],
    "subjects": [{"subject": "red fox", "frequency": 12, "example_image_id": 17}],
    "palette": {"colours": [{"hex": "#1b2a41", "share": 0.41}], "pictures": 60},
}
STYLE_EXAMPLE = {
    "name": "Cinematic",
    "descriptions": ["cinematic, movie scene, film frame, anamorphic lens"],
    "url": "/api/v1/styles/Cinematic",
}


class SuggestionsQuerySchema(ma.Schema):
    """The number of suggestions."""

    limit = ForgivingField(1, MOST_STYLES, DEFAULT_SUGGESTIONS)


class SuggestionSchema(ReplySchema):
    """A style that recurs in the caller's prompts."""

    label = ma.fields.String(
        required=True,
        metadata={"description": "The list's name of it, or words from your own prompts."},
    )
    example_prompt = ma.fields.String(required=True)
    example_image_id = ma.fields.Integer(required=True)
    frequency = ma.fields.Integer(
        required=True, metadata={"description": "How many of your images show it."}
    )
    confidence = ma.fields.Float(
        required=True,
        metadata={
            "description": "In [0, 1]: the share of its occurrences that somebody at everybody's rate "
            "would not have had, your own rate taken at the lower end of its interval."
        },
    )
    kind = ma.fields.String(
        required=True,
        validate=validate.OneOf(KINDS),
        metadata={
            "description": "listed: a style of /api/v1/styles. phrase: the same words again and "
            "again. group: prompts that mean alike. look: pictures that look alike."
        },
    )


SuggestionsSchema = list_of(SuggestionSchema, "Suggestions")


class MonthCountSchema(ReplySchema):
    """Images of a month."""

    month = ma.fields.String(required=True, metadata={"description": "2026-01, in UTC."})
    count = ma.fields.Integer(required=True)


class OwnStyleSchema(SuggestionSchema):
    """A style over time."""

    by_month = ma.fields.List(ma.fields.Nested(MonthCountSchema), required=True)
    image_ids = ma.fields.List(
        ma.fields.Integer(),
        required=True,
        metadata={"description": f"The newest {MOST_SHOWN} of your images that show it."},
    )


class FrequentSubjectSchema(ReplySchema):
    """A frequent subject."""

    subject = ma.fields.String(required=True)
    frequency = ma.fields.Integer(required=True)
    example_image_id = ma.fields.Integer(required=True)


class ColourSchema(ReplySchema):
    """A colour."""

    hex = ma.fields.String(required=True)
    share = ma.fields.Float(required=True, metadata={"description": "In (0, 1]."})


class PaletteSchema(ReplySchema):
    """The colours of your pictures, the commonest first."""

    colours = ma.fields.List(ma.fields.Nested(ColourSchema), required=True)
    pictures = ma.fields.Integer(
        required=True, metadata={"description": "Of how many different pictures they are known."}
    )


class MemorySchema(ReplySchema):
    """A person's memory: styles, subjects and colours of their images."""

    images = ma.fields.Integer(
        required=True, metadata={"description": "How many were looked at: your newest 5,000."}
    )
    prompts = ma.fields.Integer(
        required=True, metadata={"description": "How many different prompts they have."}
    )
    months = ma.fields.List(ma.fields.Nested(MonthCountSchema), required=True)
    styles = ma.fields.List(ma.fields.Nested(OwnStyleSchema), required=True)
    subjects = ma.fields.List(ma.fields.Nested(FrequentSubjectSchema), required=True)
    palette = ma.fields.Nested(PaletteSchema, required=True)


class StyleChangeSchema(ma.Schema):
    """A style of the list."""

    descriptions = CheckedListField(
        normalised_descriptions,
        required=True,
        metadata={
            "type": "array",
            "items": {"type": "string", "maxLength": MAX_PROMPT_CHARACTERS, "pattern": NAME},
            "minItems": 1,
            "maxItems": MAX_DESCRIPTIONS,
            "description": "One or more texts, in any language: phrases separated by commas that "
            "show the style. A prompt that has one of them, or means such a thing, counts.",
        },
    )


class StyleSchema(ReplySchema):
    """A style of the list."""

    name = ma.fields.String(required=True)
    descriptions = ma.fields.List(ma.fields.String(), required=True)
    url = ma.fields.String(required=True)


StyleListSchema = list_of(
    StyleSchema,
    "StyleList",
    is_edited=ma.fields.Boolean(
        required=True, metadata={"description": "false: it is the built-in list."}
    ),
)


def suggestion_body(style: OwnStyle) -> dict[str, Any]:
    """Return the fields for `SuggestionSchema`."""
    return {
        "label": style.label,
        "example_prompt": style.example_prompt,
        "example_image_id": style.example_image_id,
        "frequency": style.frequency,
        "confidence": style.confidence,
        "kind": style.kind,
    }


def memory_body(taste: Taste) -> dict[str, Any]:
    """Return the fields for `MemorySchema`."""
    return {
        "images": taste.images,
        "prompts": taste.prompts,
        "months": _months(taste.months),
        "styles": [
            suggestion_body(style)
            | {"by_month": _months(style.by_month), "image_ids": list(style.image_ids)}
            for style in taste.styles
        ],
        "subjects": [
            {
                "subject": subject.subject,
                "frequency": subject.frequency,
                "example_image_id": subject.example_image_id,
            }
            for subject in taste.subjects
        ],
        "palette": {
            "colours": [
                {"hex": colour.hex, "share": round(colour.share, 4)} for colour in taste.palette
            ],
            "pictures": taste.palette_images,
        },
    }


def style_body(style: Style) -> dict[str, Any]:
    """Return the fields for `StyleSchema`."""
    return {
        "name": style.name,
        "descriptions": list(style.descriptions),
        "url": url_for("styles.get_style", name=style.name),
    }


def _months(counts: Any) -> list[dict[str, Any]]:
    return [{"month": month, "count": count} for month, count in counts]
