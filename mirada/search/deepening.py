"""Read a ranking deeper until enough of it may be shown, since some of what is read may be withheld."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from mirada.db import changes
from mirada.kernel.audience import Scope
from mirada.kernel.similarity import Match
from mirada.ports import SearchAnswer, VectorIndex, single
from mirada.search.queries import Query
from mirada.search.unwanted import LessTheUnwanted

Found = TypeVar("Found")
DEEP_FROM, DEEP_SCAN_ROWS = 1_001, 200_000
"""A ranking of so many results is for several pages, and what an index overlooks would be on none of them.
Up to so many permitted rows it is exact: about 80 ms for 512-d on one core, once for all pages."""
MOST_COMPARED = 8_192
"""Vectors that are compared with the unwanted parts of a query; past it the best that were is the answer."""


@dataclass(frozen=True, slots=True)
class Reading(Generic[Found]):
    """One reading of a ranking down to some depth.

    Attributes:
        found: the part that may be shown.
        is_enough: reading deeper would change nothing, or nothing that is asked for.
        is_blank: the source proposed nothing at all.
    """

    found: Found
    is_enough: bool
    is_blank: bool = False


def deepen(
    read: Callable[[int], Reading[Found]],
    depth: int,
    *,
    factor: int = 2,
    most: float = float("inf"),
    confirm: Callable[[], object] | None = None,
) -> Found:
    """Read to greater and greater depths until a reading is enough, and return what it found.

    Args:
        read: reads a ranking to a depth, from its beginning.
        depth: of the first reading, in rows, >= 1.
        factor: times as many rows with every further reading.
        most: a reading of so many rows is the last.
        confirm: waits until the source knows what the database knows. It is called once, when the
            source proposes nothing: no statement of ours checks that answer.
    """
    while True:
        reading = read(depth)
        if reading.is_blank and confirm is not None:
            confirm()
            confirm = None
        elif reading.is_enough or depth >= most:
            return reading.found
        else:
            depth *= factor


def nearest(
    session: Session,
    index: VectorIndex,
    query: Query,
    scope: Scope,
    *,
    k: int,
    threshold: float | None,
    shown: Callable[[Sequence[Match]], list[Found]],
    spare: int,
) -> tuple[list[Found], SearchAnswer]:
    """Return the k best of what may be shown near a query, and the index's answer.

    Args:
        session: for reading.
        index: of the query's space; it proposes.
        query: in its space.
        scope: the viewer, what is kept from them, and what they ask to see.
        k: most results, >= 1.
        threshold: least cosine similarity; None for no cut.
        shown: makes of matches what the database lets out now, best first; it decides.
        spare: how many more are read at first, since so many may be left out.
    """
    less = LessTheUnwanted(session, query) if query.unwanted else None
    scan_rows = DEEP_SCAN_ROWS if k >= DEEP_FROM else None

    def read(depth: int) -> Reading[tuple[list[Found], SearchAnswer]]:
        vectors = single(query.vector)
        answer = index.search(vectors, depth, scope, form=query.form, scan_rows=scan_rows)[0]
        is_all = len(answer.matches) < depth
        lowest = answer.matches[-1].similarity if answer.matches else -1.0
        near = answer.matches
        if less is not None:
            near = less.of(answer)
            if not is_all and depth < MOST_COMPARED:
                # What was not read may stand before what fell below the lowest that was.
                near = [match for match in near if match.similarity >= lowest]
        found = shown([m for m in near if threshold is None or m.similarity >= threshold])
        is_exhausted = is_all or (threshold is not None and lowest < threshold)
        is_blank = not answer.matches or (
            threshold is not None and answer.matches[0].similarity < threshold
        )
        return Reading((found[:k], answer), len(found) >= k or is_exhausted, is_blank)

    return deepen(
        read,
        k + spare if less is None else 2 * k + spare,
        most=float("inf") if less is None else MOST_COMPARED,
        confirm=lambda: index.wait_for(changes.current_seq(session)),
    )
