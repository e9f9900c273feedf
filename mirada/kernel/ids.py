"""Database ids: their range."""

from __future__ import annotations

LARGEST_ID = 2**63 - 1
"""What a BIGINT holds; drivers refuse more with an error of their own."""
