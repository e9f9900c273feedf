"""How many results are asked for, and how similar."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.search.found import MAX_K

DEFAULT_RESULTS = 10


def results_field(
    kind: type[ma.fields.Integer] = ma.fields.Integer, **more: Any
) -> ma.fields.Integer:
    """Return the field of how many results are wanted."""
    return kind(
        validate=validate.Range(1, MAX_K), metadata={"description": f"1 to {MAX_K}."}, **more
    )


def threshold_field(*, allow_none: bool = True) -> ma.fields.Float:
    """Return the field of the least similarity."""
    return ma.fields.Float(
        load_default=None,
        allow_none=allow_none,
        validate=validate.Range(-1, 1),
        metadata={"description": "Least cosine similarity of a result; none by default."},
    )


class SimilarQuerySchema(ma.Schema):
    """How many similar images, and how similar."""

    limit = results_field(load_default=DEFAULT_RESULTS)
    threshold = threshold_field()
