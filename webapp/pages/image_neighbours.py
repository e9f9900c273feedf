"""Previous and next: what stands beside an image in the list that one came from."""

from __future__ import annotations

from dataclasses import dataclass

from mirada.kernel.errors import MiradaError
from mirada.pictures import image_lists
from mirada.pictures.image_lists import Sort
from mirada.pictures.shown_images import ShownImage
from mirada.search.neighbours import neighbours
from webapp.callers.asking import scope_of_caller
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
        found = _ids_beside(page, image)
    except MiradaError:
        # A picture of the search is gone, its words cannot be read, or no index is ready.
        return Beside(is_over=True)
    if found is None:
        # What a search is made from is none of its results, and was not reached from it.
        is_asked_with = any(chip.name == str(image.id) for chip in page.list.chips)
        return Beside(is_over=not is_asked_with)
    before, after = (None if one is None else page.beside(one) for one in found)
    return Beside(before, after)


def _ids_beside(page: ImagePage, image: ShownImage) -> tuple[int | None, int | None] | None:
    if page.list.asks:
        return neighbours(current_runtime(), search_of(page.list), image.id)
    scope = scope_of_caller(page.list.conditions, own_alone=page.list.mine)
    sort = page.list.sort or Sort.NEWEST
    with current_runtime().reading() as session:
        place = image_lists.place_of(image, sort)
        return image_lists.neighbours(session, scope, sort, place)
