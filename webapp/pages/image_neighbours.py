"""Previous and next: what stands beside an image in the list that one came from."""

from __future__ import annotations

from dataclasses import dataclass

from mirada.kernel.errors import MiradaError
from mirada.pictures import image_lists
from mirada.pictures.image_lists import Sort
from mirada.pictures.shown_images import ShownImage
from mirada.search.neighbours import Neighbour, Neighbours, neighbours
from webapp.callers.asking import pager_of_caller, scope_of_caller
from webapp.http.current import current_runtime
from webapp.pages.explore import search_of
from webapp.pages.image_address import ImagePage


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside an image in a list.

    Attributes:
        previous: the address of the one before; None for the first.
        following: the address of the one after; None for the last.
        is_over: the list cannot be made again, or the image is not in it any longer.
    """

    previous: str | None = None
    following: str | None = None
    is_over: bool = False


def beside(page: ImagePage, image: ShownImage) -> Beside:
    """Return what stands beside an image; nothing where the list cannot be had just now."""
    try:
        found = _beside(page, image)
    except MiradaError:
        # A picture of the search is gone, its words cannot be read, or no index is ready.
        return Beside(is_over=True)
    if found is None:
        # What a search is made from is none of its results, and was not reached from it.
        is_asked_with = any(chip.name == str(image.id) for chip in page.list.chips)
        return Beside(is_over=not is_asked_with)
    before, after = (None if one is None else page.beside(one) for one in found)
    return Beside(before, after)


def _beside(page: ImagePage, image: ShownImage) -> Neighbours | None:
    asked = page.list
    if asked.asks:
        runtime, pager = current_runtime(), pager_of_caller()
        search, cursor = search_of(asked), asked.cursor
        return neighbours(runtime, search, image.id, pager, cursor, past=asked.past)
    scope = scope_of_caller(page.list.conditions, own_alone=page.list.mine)
    sort = page.list.sort or Sort.NEWEST
    with current_runtime().reading() as session:
        place = image_lists.place_of(image, sort)
        ids = image_lists.neighbours(session, scope, sort, place)
    if ids is None:
        return None
    # A list goes on from any of its images: its page begins where it did.
    before, after = (
        None if one is None else Neighbour(one, page.list.cursor, page.list.past) for one in ids
    )
    return before, after
