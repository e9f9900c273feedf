"""The images before and after one in what a search found, over the ends of its pages."""

from __future__ import annotations

from collections.abc import Sequence

from mirada.runtime import Runtime
from mirada.search.pager import MOST_RANKED
from mirada.search.request import SearchRequest
from mirada.search.run import rank_whole


def neighbours(
    runtime: Runtime, request: SearchRequest, image_id: int
) -> tuple[int | None, int | None] | None:
    """Return the ids of the images before and after one; None where the search does not find it.

    The order is that of the search's pages: the first `k`, and then the MOST_RANKED best of the others.

    Args:
        runtime: with the database, indexes and encoders.
        request: the search; its `k` is the length of a page.
        image_id: which image.

    Raises:
        MiradaError: as `run.run`.
    """
    ids = [hit.image_id for hit in rank_whole(runtime, request, request.k + 1).hits]
    first = ids[: request.k]
    if len(ids) > request.k and image_id not in first[:-1]:
        seen = set(first)
        whole = rank_whole(runtime, request, MOST_RANKED, first)
        ids = first + [hit.image_id for hit in whole.hits if hit.image_id not in seen]
    return _beside(ids, image_id)


def _beside(ids: Sequence[int], image_id: int) -> tuple[int | None, int | None] | None:
    if image_id not in ids:
        return None
    at = ids.index(image_id)
    return (ids[at - 1] if at else None), (ids[at + 1] if at + 1 < len(ids) else None)
