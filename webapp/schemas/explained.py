"""The explanation of a search in replies."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from mirada.kernel.composing import Spread
from mirada.search.explanation import Explained, PartShare
from mirada.search.found import Found, Searched
from webapp.schemas.replies import ReplySchema

EXPLAINED_EXAMPLE = {
    "sources": [
        {
            "source": "pictures",
            "way": "hnsw",
            "ef_search": 96,
            "depth": None,
            "candidates": 96,
            "permitted_count": 41200,
            "background": {"median": 0.18, "spread": 0.03, "count": 512},
        }
    ],
    "parts": [
        {"part": 0, "kind": "text", "weight": 1.0, "background": {"median": 0.18, "spread": 0.03}},
        {"part": 1, "kind": "text", "weight": -1.0, "background": {"median": 0.16, "spread": 0.04}},
    ],
    "filter": {},
}

_OF_EVERYBODY = (
    "It follows from how many pictures there are, private ones included, so null unless an "
    "administrator asks."
)


class BackgroundSchema(ReplySchema):
    """The cosines of something with a sample of the pictures that could be found."""

    median = ma.fields.Float(required=True)
    spread = ma.fields.Float(
        required=True,
        metadata={"description": "Standard deviation; a prior counts with eight scores."},
    )
    count = ma.fields.Integer(metadata={"description": "How large the sample was."})


class ExplainedSourceSchema(ReplySchema):
    """How one vector source was searched."""

    source = ma.fields.String(required=True)
    way = ma.fields.String(required=True)
    ef_search = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": f"Beam of a walk through a graph. {_OF_EVERYBODY}"},
    )
    depth = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "Candidates of a quantised scan that were compared exactly. "
            f"{_OF_EVERYBODY}"
        },
    )
    candidates = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": f"Vectors that were compared exactly. {_OF_EVERYBODY} An exact scan "
            "compares all that the caller may see, and says so to everybody."
        },
    )
    permitted_count = ma.fields.Integer(required=True)
    background = ma.fields.Nested(BackgroundSchema, required=True)


class ExplainedPartSchema(ReplySchema):
    """One part of the query."""

    part = ma.fields.Integer(required=True, metadata={"description": "Its place, from 0."})
    kind = ma.fields.String(required=True)
    weight = ma.fields.Float(required=True)
    background = ma.fields.Nested(
        BackgroundSchema,
        required=True,
        allow_none=True,
        metadata={"description": "Of its own cosines; null for the only part."},
    )


class ExplainedSchema(ReplySchema):
    """How an answer came about."""

    sources = ma.fields.List(ma.fields.Nested(ExplainedSourceSchema), required=True)
    parts = ma.fields.List(
        ma.fields.Nested(ExplainedPartSchema),
        required=True,
        metadata={"description": "The query as it was understood."},
    )
    filter = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(),
        required=True,
        metadata={"description": "The filter as it was understood; empty where everything passes."},
    )


class PartShareSchema(ReplySchema):
    """One part's share of a result."""

    part = ma.fields.Integer(required=True, metadata={"description": "Its place, from 0."})
    similarity = ma.fields.Float(
        required=True, metadata={"description": "Its own cosine with the result."}
    )
    share = ma.fields.Float(
        required=True,
        metadata={
            "description": "Of the result's `similarity`: those of all parts add up to it. Below 0 "
            "where an unwanted part took some."
        },
    )


def explained_body(found: Found, told: Explained, *, is_administrator: bool) -> dict[str, Any]:
    """Return the fields for `ExplainedSchema`; figures that follow from all pictures for administrators."""
    return {
        "sources": [
            _source_body(source, each, is_administrator)
            for source, each in found.ranking.searched.items()
        ],
        "parts": [
            {
                "part": place,
                "kind": str(part.kind),
                "weight": part.weight,
                "background": None if part.background is None else _background(part.background),
            }
            for place, part in enumerate(told.parts)
        ],
        "filter": dict(told.filter),
    }


def share_body(share: PartShare) -> dict[str, Any]:
    """Return the fields for `PartShareSchema`."""
    return {"part": share.part, "similarity": share.similarity, "share": share.share}


def _source_body(source: str, searched: Searched, is_administrator: bool) -> dict[str, Any]:
    assert searched.background is not None
    is_all = searched.candidates == searched.permitted_count
    return {
        "source": str(source),
        "way": searched.way,
        "ef_search": searched.ef_search if is_administrator else None,
        "depth": searched.depth if is_administrator else None,
        "candidates": searched.candidates if is_administrator or is_all else None,
        "permitted_count": searched.permitted_count,
        "background": {**_background(searched.background), "count": searched.background_count},
    }


def _background(spread: Spread) -> dict[str, float]:
    return {"median": spread.centre, "spread": spread.width}
