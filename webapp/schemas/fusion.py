"""The reply of a search, fused or not."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.kernel.similarity import SearchWay
from mirada.search.found import Found, Hit, Searched
from mirada.search.queries import FUSED, Source
from webapp.schemas.explained import (
    ExplainedSchema,
    PartShareSchema,
    explained_body,
    share_body,
)
from webapp.schemas.images import IMAGE_EXAMPLE
from webapp.schemas.replies import ReplySchema
from webapp.schemas.search import FoundImageSchema, FoundSchema, found_body

SOURCES = tuple(source.value for source in Source)
FUSED_EXAMPLE = {
    "results": [
        {
            "image": IMAGE_EXAMPLE,
            "similarity": 0.31,
            "relevance": 0.97,
            "is_relevant": True,
            "score": 0.0325,
            "found_by": [
                {"source": "pictures", "rank": 2, "similarity": 0.31},
                {"source": "keywords", "rank": 1, "similarity": None},
            ],
        }
    ],
    "verdict": "relevant",
    "relevant_count": 1,
    "way": FUSED,
    "permitted_count": 312,
    "change_seq": 312,
    "reason": None,
    "space": None,
    "sources": [
        {"source": "pictures", "weight": 1.0, "way": "exact", "permitted_count": 312},
        {"source": "keywords", "weight": 1.0, "way": None, "permitted_count": None},
    ],
    "left_out": [{"source": "prompts", "reason": "No prompt has been embedded yet."}],
    "ranked_count": 1,
    "next": None,
}


def _source() -> ma.fields.String:
    return ma.fields.String(required=True, validate=validate.OneOf(SOURCES))


class FoundBySchema(ReplySchema):
    """One source's part in a result."""

    source = _source()
    rank = ma.fields.Integer(required=True, metadata={"description": "From 1, the best."})
    similarity = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Cosine in this source's space; null for keywords."},
    )


class SourceAskedSchema(ReplySchema):
    """A source that was searched."""

    source = _source()
    weight = ma.fields.Float(required=True)
    way = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Null for keywords."}
    )
    permitted_count = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "How many vectors the search ran over; null for keywords."},
    )


class LeftOutSchema(ReplySchema):
    """A source that could not be searched."""

    source = _source()
    reason = ma.fields.String(required=True)


class SearchedImageSchema(FoundImageSchema):
    """One result; `score` and `found_by` where several sources were fused."""

    similarity = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "Cosine in [-1, 1], higher is nearer. Fused: of the picture; null where "
            "what it shows did not find it."
        },
    )
    score = ma.fields.Float(
        metadata={
            "description": "Sum over the sources of weight / (60 + rank) (reciprocal rank fusion, "
            "Cormack et al. 2009). It orders one reply and means nothing beside another."
        }
    )
    found_by = ma.fields.List(ma.fields.Nested(FoundBySchema))
    collapsed_count = ma.fields.Integer(
        metadata={
            "description": "With `collapse`: how many more images count as this one. Of the same file "
            "all that the caller may see and that pass the filter; of near-duplicates those that were "
            "ranked."
        }
    )
    parts = ma.fields.List(
        ma.fields.Nested(PartShareSchema),
        metadata={"description": "With `explain`: what each part of the query brought."},
    )


class SearchedSchema(FoundSchema):
    """Results, best first; `sources` and `left_out` where several were fused."""

    results = ma.fields.List(ma.fields.Nested(SearchedImageSchema), required=True)
    way = ma.fields.String(
        required=True,
        validate=validate.OneOf([*(way.value for way in SearchWay), FUSED]),
        metadata={"description": "How it was computed."},
    )
    space = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Null where several were fused."}
    )
    sources = ma.fields.List(ma.fields.Nested(SourceAskedSchema))
    left_out = ma.fields.List(
        ma.fields.Nested(LeftOutSchema),
        metadata={"description": "Sources that were asked for and could not be searched."},
    )
    explained = ma.fields.Nested(
        ExplainedSchema, metadata={"description": "With `explain`, on the first page."}
    )


def searched_body(found: Found, viewer_id: int | None, *, is_administrator: bool) -> dict[str, Any]:
    """Return the fields for `SearchedSchema`."""
    ranking = found.ranking
    body = found_body(found, viewer_id)
    if found.explained is not None:
        body["explained"] = explained_body(
            found, found.explained, is_administrator=is_administrator
        )
        shares = found.explained.shares
        for told, result in zip(body["results"], found.results, strict=True):
            told["parts"] = [share_body(each) for each in shares.get(result.hit.image_id, ())]
    if not ranking.weights:
        return body
    for told, result in zip(body["results"], found.results, strict=True):
        told |= _fused_body(result.hit)
    return body | {
        "sources": [
            _source_body(source, ranking.weights[source], ranking.searched.get(source))
            for source in SOURCES
            if ranking.weights.get(source) and source not in ranking.left_out
        ],
        "left_out": [
            {"source": source, "reason": ranking.left_out[source]}
            for source in SOURCES
            if source in ranking.left_out
        ],
    }


def _source_body(source: str, weight: float, answer: Searched | None) -> dict[str, Any]:
    return {
        "source": source,
        "weight": weight,
        "way": None if answer is None else answer.way,
        "permitted_count": None if answer is None else answer.permitted_count,
    }


def _fused_body(hit: Hit) -> dict[str, Any]:
    return {
        "score": hit.score,
        "found_by": [
            {"source": part.source, "rank": part.rank, "similarity": part.similarity}
            for part in hit.found_by
        ],
    }
