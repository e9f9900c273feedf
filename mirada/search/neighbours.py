"""The images before and after one in what a search found, over the ends of its pages."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from mirada.kernel.errors import InvalidInput, SearchExpired
from mirada.runtime import Runtime
from mirada.search import pages
from mirada.search.around import Placed
from mirada.search.pager import Pager
from mirada.search.pages import FirstPlaces
from mirada.search.request import SearchRequest


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An image beside another one, and the page of the search that it is on.

    Attributes:
        image_id: which image.
        cursor: of the page that it is on; None on the first one.
        past: whether the first page, where it is not on it, shows where relevance ends.
    """

    image_id: int
    cursor: str | None = None
    past: bool = False


Neighbours = tuple[Neighbour | None, Neighbour | None]


def neighbours(
    runtime: Runtime,
    request: SearchRequest,
    image_id: int,
    pager: Pager,
    cursor: str | None = None,
    *,
    past: bool = False,
) -> Neighbours | None:
    """Return the images before and after one; None where the search does not find it.

    The order is that of the search's pages. With the cursor of the page that one came from, the ranking
    that is kept for its pages is read, and nothing is searched. Without it, or once it has ended, an
    image beyond the first page has that ranking made and kept, and the neighbours carry its cursor.

    Args:
        runtime: with the database, indexes and encoders.
        request: the search; its `k` is the length of a page.
        image_id: which image.
        pager: the caller's.
        cursor: of the page that the image is on; None for the first.
        past: as `Neighbour` has it, of that page.

    Raises:
        MiradaError: as `run.run`.
    """
    if cursor is not None:
        # A cursor may be too old, or be another person's who sent the address.
        with suppress(SearchExpired, InvalidInput):
            found = pages.beside(runtime, request, image_id, pager, cursor)
            if found is not None:
                return _later(runtime, request, pager, found, past)
    first = pages.first_places(runtime, request, pager)
    ids = first.ids[: request.k]
    if image_id in ids:
        return _on_first(first, ids.index(image_id), request.k)
    if first.cursor is None:
        return None
    found = pages.beside(runtime, request, image_id, pager, first.cursor)
    if found is None:
        return None
    return _later(runtime, request, pager, found, first.past, first)


def _on_first(first: FirstPlaces, at: int, k: int) -> Neighbours:
    before = Neighbour(first.ids[at - 1]) if at else None
    if at + 1 == len(first.ids):
        return before, None
    if at + 1 < k:
        return before, Neighbour(first.ids[at + 1])
    return before, Neighbour(first.ids[at + 1], first.cursor, first.past)


def _later(
    runtime: Runtime,
    request: SearchRequest,
    pager: Pager,
    found: tuple[Placed | None, Placed | None],
    past: bool,
    first: FirstPlaces | None = None,
) -> Neighbours:
    """Return the neighbours of an image on a later page; before all of those ends the first page."""
    before, after = (
        None if one is None else Neighbour(one.image_id, one.cursor, past) for one in found
    )
    if before is None:
        first = first or pages.first_places(runtime, request, pager)
        ids = first.ids[: request.k]
        before = Neighbour(ids[-1]) if ids else None
    return before, after
