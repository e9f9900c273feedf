"""Pages of searches: their cursors, and what replies say of them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

SEARCH_CURSOR = "^[A-Za-z0-9_-]{50,1000}$"
"""A cursor of a search, sealed by `mirada.search.cursors`."""
SEARCH_NEXT = ma.fields.String(
    required=True,
    allow_none=True,
    metadata={
        "description": "Address of the next page, for the same caller, for ten minutes; then it "
        "answers 410. null on the last page."
    },
)
RANKED_COUNT = ma.fields.Integer(
    required=True,
    allow_none=True,
    metadata={
        "description": "How many images all pages have together, as they were ranked; null on a "
        "first page with a next one, for the rest is ranked when that is asked for."
    },
)


def search_cursor(**more: Any) -> ma.fields.String:
    """Return the field with the cursor of a search's further page."""
    told = "From `next` of the page before. Send it alone, or with the very search that gave it."
    return ma.fields.String(metadata={"pattern": SEARCH_CURSOR, "description": told}, **more)
