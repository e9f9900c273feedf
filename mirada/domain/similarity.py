"""Matches, their order, and how relevant a score is against its query's own background."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SearchWay(StrEnum):
    """How an answer was computed: by scanning every permitted vector, or through the graph."""

    EXACT = "exact"
    HNSW = "hnsw"
    WIDENED = "hnsw-widened"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True, order=False)
class Match:
    """One found vector: its embedding id and its cosine similarity in [-1, 1], higher is nearer."""

    id: int
    similarity: float
