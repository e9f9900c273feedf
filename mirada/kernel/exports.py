"""Exports that wait to be fetched: for how long, and how many."""

from __future__ import annotations

KEPT_FOR_S = 24 * 3600.0
MOST_KEPT = 10
"""Finished exports of one person; the newest stay."""
