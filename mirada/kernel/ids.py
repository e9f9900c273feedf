"""Database ids and Idempotency-Keys: what they may be."""

from __future__ import annotations

LARGEST_ID = 2**63 - 1
"""What a BIGINT holds; drivers refuse more with an error of their own."""
MAX_IDEMPOTENCY_KEY_CHARS = 191
"""The column's length: what MySQL indexes in utf8mb4 on every version."""


def in_range(row_id: int) -> int:
    """Return an id to look a row up by: 0, which no row has, in place of one that no row can have."""
    return row_id if 0 < row_id <= LARGEST_ID else 0
