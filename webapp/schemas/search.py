"""Searches and their results."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma
from flask_smorest.fields import Upload
from marshmallow import validate

from mirada.kernel.similarity import SearchWay
from mirada.search.found import Found, FoundImage
from mirada.search.queries import ALL, Source
from webapp.schemas.filters import FilterParametersSchema, filter_field, form_filter_field
from webapp.schemas.form_parts import FormPartsSchema
from webapp.schemas.how_many import results_field, threshold_field
from webapp.schemas.images import IMAGE_EXAMPLE, ImageSchema, image_body
from webapp.schemas.numbers import WholeField
from webapp.schemas.query_parts import (
    FormQueryField,
    QueryField,
    Syntax,
    image_field,
    kept_picture_field,
    text_field,
    vector_field,
)
from webapp.schemas.relevance import (
    is_relevant_field,
    relevance_field,
    relevant_count_field,
    verdict_field,
)
from webapp.schemas.replies import ReplySchema
from webapp.schemas.rules import neither, never, none_of, one_of, together, without
from webapp.schemas.search_pages import RANKED_COUNT, SEARCH_NEXT, search_cursor
from webapp.schemas.search_wishes import (
    collapse_field,
    diversify_field,
    explain_field,
    in_field,
    mine_field,
    sort_field,
    syntax_field,
)
from webapp.schemas.weights import WeightsSchema

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


_OF_TEXTS = [Source.CAPTIONS.value, Source.KEYWORDS.value, ALL]
"""What only a text is looked for in."""
_FUSED = [together(weights={"type": "object"}), together(**{"in": {"enum": _OF_TEXTS}})]


class SearchSchema(ma.Schema):
    """Exactly one of text, image_id and vector (or, in a multipart body, file), and how much to find."""

    class Meta:
        """Tell which fields go together."""

        rules: ClassVar = never(
            none_of("text", "image_id", "picture", "vector", "query", "cursor"),
            *one_of("text", "image_id", "picture", "vector", "query"),
            together("k", "limit"),
            without("text", together(syntax={"const": Syntax.SIGNS.value})),
            *(neither("text", "query", case) for case in _FUSED),
            together(
                weights={"type": "object"},
                **{"in": {"enum": [source.value for source in Source]}},
            ),
        )

    error_messages: dict[str, str] = {  # noqa: RUF012 - as marshmallow has it
        "type": 'A search is an object, such as {"text": "a cat"}.'
    }
    text = text_field()
    image_id = image_field()
    picture = kept_picture_field()
    vector = vector_field()
    query = QueryField()
    syntax = syntax_field()
    k = results_field(WholeField, load_default=None, allow_none=True)
    limit = results_field(WholeField, load_default=None, allow_none=True)
    threshold = threshold_field()
    mine = mine_field()
    filter = filter_field()
    in_ = in_field()
    collapse = collapse_field()
    diversify = diversify_field()
    sort = sort_field()
    explain = explain_field()
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


class MultipartSearchSchema(FormPartsSchema, SearchSchema):
    """A search by an uploaded picture; numbers come as text."""

    class Meta:
        """Leave out the fields that only JSON has."""

        exclude = ("picture", "vector", "weights", "cursor")
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
    filter = form_filter_field()
    k = results_field(load_default=None, allow_none=False)
    limit = results_field(load_default=None, allow_none=False)
    threshold = threshold_field(allow_none=False)


class SearchAddressSchema(FilterParametersSchema):
    """A search that has an address, or the next page of any.

    Exactly one of text, image_id, picture and cursor is sent.
    """

    text = text_field()
    image_id = image_field(ma.fields.Integer)
    picture = kept_picture_field(ma.fields.Integer)
    syntax = syntax_field()
    k = results_field(load_default=None, allow_none=False)
    limit = results_field(load_default=None, allow_none=False)
    threshold = threshold_field(allow_none=False)
    mine = mine_field()
    in_ = in_field()
    collapse = collapse_field()
    diversify = diversify_field()
    sort = sort_field()
    explain = explain_field()
    cursor = search_cursor()

    _signs = SearchSchema._signs_of_a_text
    _one_number = SearchSchema._one_number_of_results


class PictureQuerySchema(MultipartSearchSchema):
    """The same with the file."""

    file = Upload(metadata={"description": "The picture to find the like of; it is not kept."})


class FoundImageSchema(ReplySchema):
    """One result."""

    image = ma.fields.Nested(ImageSchema, required=True)
    similarity = ma.fields.Float(
        required=True, metadata={"description": "Cosine in [-1, 1], higher is nearer."}
    )
    relevance = relevance_field()
    is_relevant = is_relevant_field()


class FoundSchema(ReplySchema):
    """Results, best first, and how they came about."""

    results = ma.fields.List(ma.fields.Nested(FoundImageSchema), required=True)
    verdict = verdict_field()
    relevant_count = relevant_count_field()
    way = ma.fields.String(
        required=True,
        validate=validate.OneOf([way.value for way in SearchWay]),
        metadata={"description": "How it was computed."},
    )
    permitted_count = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "How many different pictures (or texts) the search ran over; what was uploaded "
            "several times counts once. Of several sources the most; null where words alone were looked for."
        },
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
    body = {
        "image": image_body(result.image),
        "similarity": result.hit.similarity,
        "relevance": result.relevance,
        "is_relevant": result.hit.is_relevant,
    }
    if result.hit.collapsed_count is not None:
        body["collapsed_count"] = result.hit.collapsed_count
    return body
