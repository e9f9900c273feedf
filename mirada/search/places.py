"""The hits of a ranking as bytes of one size each, so that a database gives out those of a page alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mirada.search.found import FoundBy, Hit

NUMBERS = ("similarity", "relevance", "score")
"""Of a hit; NaN where there is none. A relevance is always there."""


def hit_type(sources: Sequence[str]) -> np.dtype[np.void]:
    """Return the layout of a hit in a ranking to which these sources added; none where one was asked."""
    columns: list[Any] = [("image_id", "<i8"), *((name, "<f8") for name in NUMBERS)]
    # -1 is none.
    columns.append(("collapsed", "<i4"))
    for place in range(len(sources)):
        # A rank of 0 is none.
        columns += [(f"rank{place}", "<u2"), (f"by{place}", "<f8", (2,))]
    return np.dtype(columns)


def sources_of(hits: Sequence[Hit]) -> list[str]:
    """Return the sources that found something, in the order in which hits name them."""
    return list(dict.fromkeys(part.source for hit in hits for part in hit.found_by))


def packed(hits: Sequence[Hit], sources: Sequence[str]) -> bytes:
    """Return hits in their order, `hit_type(sources).itemsize` bytes each."""
    rows = np.zeros(len(hits), hit_type(sources))
    rows["image_id"] = [hit.image_id for hit in hits]
    collapsed = (hit.collapsed_count for hit in hits)
    rows["collapsed"] = [-1 if count is None else count for count in collapsed]
    for name in NUMBERS:
        rows[name] = [_or_nan(getattr(hit, name)) for hit in hits]
    for place, source in enumerate(sources):
        for row, hit in enumerate(hits):
            part = next((part for part in hit.found_by if part.source == source), None)
            if part is not None:
                rows[f"rank{place}"][row] = part.rank
                rows[f"by{place}"][row] = (_or_nan(part.similarity), part.relevance)
    return rows.tobytes()


def unpacked(data: bytes, sources: Sequence[str]) -> list[Hit]:
    """Return the hits of whole pieces of what `packed` returned."""
    rows: npt.NDArray[np.void] = np.frombuffer(data, hit_type(sources))
    return [_hit(row, sources) for row in rows]


def _hit(row: np.void, sources: Sequence[str]) -> Hit:
    parts = [
        FoundBy(source, int(row[f"rank{place}"]), _or_none(by[0]), float(by[1]))
        for place, source in enumerate(sources)
        if row[f"rank{place}"]
        for by in [row[f"by{place}"]]
    ]
    similarity, score = _or_none(row["similarity"]), _or_none(row["score"])
    collapsed = int(row["collapsed"])
    count = None if collapsed < 0 else collapsed
    return Hit(int(row["image_id"]), similarity, float(row["relevance"]), score, parts, count)


def _or_nan(number: float | None) -> float:
    return math.nan if number is None else number


def _or_none(number: float) -> float | None:
    return None if math.isnan(number) else float(number)
