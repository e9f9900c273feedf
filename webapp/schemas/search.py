"""Searches and their results."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

import marshmallow as ma
from flask_smorest.fields import Upload
from marshmallow import validate

from mirada.kernel.similarity import SearchWay, Verdict
from mirada.search.found import MAX_K, Found, FoundImage
from mirada.search.queries import ALL, Source
from webapp.schemas.filters import FormFilterField, filter_field
from webapp.schemas.images import IMAGE_EXAMPLE, ImageSchema, image_body
from webapp.schemas.numbers import WholeField
from webapp.schemas.query_parts import (
    MAX_WEIGHT,
    FormQueryField,
    QueryField,
    image_field,
    text_field,
    vector_field,
)
from webapp.schemas.replies import ReplySchema
from webapp.schemas.rules import neither, never, none_of, one_of, together, without
from webapp.schemas.search_pages import RANKED_COUNT, SEARCH_NEXT, search_cursor
from webapp.schemas.switches import SwitchField

DEFAULT_RESULTS = 10
SEARCH_EXAMPLE = {
    "results": [
        {"image": IMAGE_EXAMPLE, "similarity": 0.31, "relevance": 0.97, "is_relevant": True}
    ],
    "verdict": "relevant",
    "relevant_count": 1,
    "way": "exact",
    "permitted_count": 312,
    "change_seq": 312,
    "reason": None,
    "space": "image:ViT-B-32:laion2b_s34b_b79k:openclip-224-bicubic-v1",
    "ranked_count": 1,
    "next": None,
}


def _results(kind: type[ma.fields.Integer] = ma.fields.Integer, **more: Any) -> ma.fields.Integer:
    return kind(
        validate=validate.Range(1, MAX_K), metadata={"description": f"1 to {MAX_K}."}, **more
    )


def _threshold(*, allow_none: bool = True) -> ma.fields.Float:
    return ma.fields.Float(
        load_default=None,
        allow_none=allow_none,
        validate=validate.Range(-1, 1),
        metadata={"description": "Least cosine similarity of a result; none by default."},
    )


class SimilarQuerySchema(ma.Schema):
    """How many similar images, and how similar."""

    limit = _results(load_default=DEFAULT_RESULTS)
    threshold = _threshold()


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


_OF_TEXTS = [Source.CAPTIONS.value, Source.KEYWORDS.value, ALL]
"""What only a text is looked for in."""
_FUSED = [together(weights={"type": "object"}), together(**{"in": {"enum": _OF_TEXTS}})]


class Syntax(StrEnum):
    """The way a text is read."""

    PLAIN = "plain"
    SIGNS = "signs"


class SearchSchema(ma.Schema):
    """Exactly one of text, image_id and vector (or, in a multipart body, file), and how much to find."""

    class Meta:
        """Tell which fields go together."""

        rules: ClassVar = never(
            none_of("text", "image_id", "vector", "query", "cursor"),
            *one_of("text", "image_id", "vector", "query"),
            together("k", "limit"),
            without("text", together(syntax={"const": Syntax.SIGNS.value})),
            *(neither("text", "query", case) for case in _FUSED),
            together(
                weights={"type": "object"},
                **{"in": {"enum": [source.value for source in Source]}},
            ),
        )

    text = text_field()
    image_id = image_field()
    vector = vector_field()
    query = QueryField()
    syntax = ma.fields.String(
        load_default=Syntax.PLAIN.value,
        validate=validate.OneOf([syntax.value for syntax in Syntax]),
        metadata={
            "description": 'How the text is read: as it is, or with signs: `cat -dog "red hat"` is a '
            "cat and a red hat, without a dog."
        },
    )
    k = _results(WholeField, load_default=None, allow_none=True)
    limit = _results(WholeField, load_default=None, allow_none=True)
    threshold = _threshold()
    mine = SwitchField(
        load_default=False, metadata={"description": "Search only the caller's own images."}
    )
    filter = filter_field()
    in_ = ma.fields.String(
        data_key="in",
        load_default=Source.PICTURES.value,
        validate=validate.OneOf([*(source.value for source in Source), ALL]),
        metadata={
            "description": "What is compared: what pictures show, the prompts they were made from, "
            "or, with text, captions, the words as they are written, or all there is, fused."
        },
    )
    weights = ma.fields.Nested(
        WeightsSchema,
        load_default=None,
        allow_none=True,
        metadata={"description": "With text: what is fused, and how much each source counts."},
    )
    cursor = search_cursor()

    @ma.validates_schema(pass_original=True)
    def _fused_or_not(self, data: dict[str, Any], given: Any, **_: Any) -> None:
        if data.get("weights") is not None and given.get("in", ALL) != ALL:
            raise ma.ValidationError(
                f"weights say what is compared; leave `in` out, or send {ALL}.", "weights"
            )

    @ma.validates_schema
    def _signs_of_a_text(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("syntax") == Syntax.SIGNS and "text" not in data:
            raise ma.ValidationError("Only a text has signs; send `text` with it.", "syntax")

    @ma.validates_schema
    def _one_number_of_results(self, data: dict[str, Any], **_: Any) -> None:
        if None not in (data.get("k"), data.get("limit")) and data["k"] != data["limit"]:
            raise ma.ValidationError("k and limit mean the same; send one of them.", "limit")


class MultipartSearchSchema(SearchSchema):
    """A search by an uploaded picture; numbers come as text."""

    class Meta:
        """Leave out the fields that only JSON has."""

        exclude = ("vector", "weights", "cursor")
        rules: ClassVar = never(
            none_of("text", "image_id", "file", "query"),
            together("text", "image_id"),
            together("text", "query"),
            together("image_id", "query"),
            together("text", "file"),
            together("image_id", "file"),
            together("k", "limit"),
            without("text", together(syntax={"const": Syntax.SIGNS.value})),
            neither("text", "query", _FUSED[1]),
            together("file", **{"in": {"const": Source.PROMPTS.value}}),
        )

    image_id = image_field(ma.fields.Integer)
    query = FormQueryField()
    filter = FormFilterField()
    k = _results(load_default=None, allow_none=False)
    limit = _results(load_default=None, allow_none=False)
    threshold = _threshold(allow_none=False)


class PictureQuerySchema(MultipartSearchSchema):
    """The same with the file."""

    file = Upload(metadata={"description": "The picture to find the like of; it is not kept."})


class FoundImageSchema(ReplySchema):
    """One result."""

    image = ma.fields.Nested(ImageSchema, required=True)
    similarity = ma.fields.Float(
        required=True, metadata={"description": "Cosine in [-1, 1], higher is nearer."}
    )
    relevance = ma.fields.Float(
        required=True,
        metadata={
            "description": "In [0, 1]: how likely it is what was asked for, measured against what is "
            "stored here; 0.5 is the limit. Of one space it never rises down the results. Fused: an "
            "image with every word of the text has 1; else its caption decides where it has one; "
            "else what the other sources say, together."
        },
    )
    is_relevant = ma.fields.Boolean(
        required=True, metadata={"description": "Whether relevance is at least 0.5."}
    )


class FoundSchema(ReplySchema):
    """Results, best first, and how they came about."""

    results = ma.fields.List(ma.fields.Nested(FoundImageSchema), required=True)
    verdict = ma.fields.String(
        required=True,
        validate=validate.OneOf([verdict.value for verdict in Verdict]),
        metadata={
            "description": "By the best relevance of all that was ranked: `relevant` from 0.8, `weak` "
            "from 0.5, `nothing relevant` below, which is where relevant_count is 0."
        },
    )
    relevant_count = ma.fields.Integer(
        required=True,
        metadata={
            "description": "How many are relevant of what was ranked for this request, shown or not. "
            "Where all of that is relevant there may be more further down."
        },
    )
    way = ma.fields.String(
        required=True,
        validate=validate.OneOf([way.value for way in SearchWay]),
        metadata={"description": "How it was computed."},
    )
    permitted_count = ma.fields.Integer(
        required=True, metadata={"description": "How many pictures the search ran over."}
    )
    change_seq = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "State of the database that was searched; null without a key, for it "
            "counts everybody's changes."
        },
    )
    reason = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Why there are fewer than asked."}
    )
    space = ma.fields.String(required=True)
    ranked_count = RANKED_COUNT
    next = SEARCH_NEXT


def found_body(found: Found, viewer_id: int | None) -> dict[str, Any]:
    """Return the fields for `FoundSchema`."""
    return {
        "results": [result_body(result) for result in found.results],
        "verdict": str(found.verdict),
        "relevant_count": found.ranking.relevant_count,
        "way": str(found.way),
        "permitted_count": found.permitted_count,
        "change_seq": None if viewer_id is None else found.change_seq,
        "reason": found.reason,
        "space": found.ranking.space,
        "ranked_count": found.ranked_count,
    }


def result_body(result: FoundImage) -> dict[str, Any]:
    """Return the fields for `FoundImageSchema`."""
    return {
        "image": image_body(result.image),
        "similarity": result.hit.similarity,
        "relevance": result.relevance,
        "is_relevant": result.hit.is_relevant,
    }
