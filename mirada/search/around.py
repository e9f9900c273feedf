"""The images beside one in a kept ranking: read from it, with nothing searched again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from mirada.runtime import Runtime
from mirada.search.paged import Asking, Whole
from mirada.search.places import hit_type, unpacked

Result = TypeVar("Result")
READ = 8
"""Hits read at once; mostly the first of them is shown."""


@dataclass(frozen=True, slots=True)
class Placed:
    """An image of a later page, and the cursor of that page."""

    image_id: int
    cursor: str


def around(
    runtime: Runtime, ranking: Whole, image_id: int, asking: Asking[Result]
) -> tuple[Placed | None, Placed | None] | None:
    """Return the images before and after one; None where the ranking does not have it.

    Those that the caller may not see any more are passed over.
    """
    places: npt.NDArray[np.void] = np.frombuffer(ranking.places, hit_type(ranking.sources))
    found = np.flatnonzero(places["image_id"] == image_id)
    if not len(found):
        return None
    at = int(found[0])
    with runtime.reading() as session:
        before = _nearest(session, ranking, places, range(at - 1, -1, -1), asking)
        return before, _nearest(session, ranking, places, range(at + 1, len(places)), asking)


def _nearest(
    session: Session,
    ranking: Whole,
    places: npt.NDArray[np.void],
    positions: range,
    asking: Asking[Result],
) -> Placed | None:
    for start in range(0, len(positions), READ):
        some = positions[start : start + READ]
        hits = unpacked(places[list(some)].tobytes(), ranking.sources)
        shown = asking.show(session, ranking.question, hits)
        if shown:
            image_id = shown[0][0]
            position = some[[hit.image_id for hit in hits].index(image_id)]
            return Placed(image_id, ranking.cursor_at(position))
    return None
