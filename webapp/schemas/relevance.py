"""The fields by which every search says what is relevant."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import validate

from mirada.kernel.similarity import Verdict


def relevance_field() -> ma.fields.Float:
    """Return the field of a result's relevance."""
    return ma.fields.Float(
        required=True,
        metadata={
            "description": "In [0, 1]: how likely it is what was asked for, measured against what is "
            "stored here; 0.5 is the limit. Of one space it never rises down the results. Fused: an "
            "image with every word of the text has 1; else its caption decides where it has one; "
            "else what the other sources say, together."
        },
    )


def is_relevant_field() -> ma.fields.Boolean:
    """Return the field that says whether a result is relevant."""
    return ma.fields.Boolean(
        required=True, metadata={"description": "Whether relevance is at least 0.5."}
    )


def verdict_field() -> ma.fields.String:
    """Return the field of the judgement of a whole search."""
    return ma.fields.String(
        required=True,
        validate=validate.OneOf([verdict.value for verdict in Verdict]),
        metadata={
            "description": "By the best relevance of all that was ranked: `relevant` from 0.8, `weak` "
            "from 0.5, `nothing relevant` below, which is where relevant_count is 0."
        },
    )


def relevant_count_field() -> ma.fields.Integer:
    """Return the field of the number of relevant results."""
    return ma.fields.Integer(
        required=True,
        metadata={
            "description": "How many are relevant of what was ranked for this request, shown or not. "
            "Where all of that is relevant there may be more further down."
        },
    )
