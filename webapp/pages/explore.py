"""Explore: the library, and what one finds in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, redirect, request, url_for
from flask_babel import gettext, lazy_gettext

from mirada.kernel.keywords import folded
from mirada.kernel.signs import as_phrase
from mirada.pictures import image_lists
from mirada.pictures.image_lists import Place, Sort, Total
from mirada.pictures.shown_images import shown_images
from mirada.search import pages
from mirada.search.choice import Choice
from mirada.search.found import Found
from mirada.search.queries import QueryKind, Source
from mirada.search.request import DEFAULT_WEIGHTS, SearchRequest
from mirada.suggestions.suggesting import labels_to_try
from webapp.callers.asking import asked_by_caller, pager_of_caller, scope_of_caller
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime
from webapp.http.paging import cursor_after, row_id_of, value_and_row_id_of
from webapp.pages.explore_address import (
    LIBRARY,
    MAX_WORDS,
    Chip,
    ExploreAddress,
    address_of_request,
    cleaned,
)
from webapp.pages.explore_filters import asked, kept_beside, panel
from webapp.pages.image_deletion import trashed
from webapp.pages.label_names import page_language
from webapp.pages.pack_search import address_of_new
from webapp.pages.shell import is_fragment, page
from webapp.pages.tiles import Tile
from webapp.pages.why import why
from webapp.pages.wishes import density

TILES = 60
"""Of one page. More costs a browser more than it shows: measured with 10,000 in the document."""

TRIES = 6
"""Labels to try."""

SORTS: Mapping[str, Any] = {
    Sort.NEWEST.value: lazy_gettext("Newest first"),
    Sort.OLDEST.value: lazy_gettext("Oldest first"),
    Sort.LIKES.value: lazy_gettext("Most liked first"),
    Sort.LARGEST.value: lazy_gettext("Largest first"),
}
"""The orders of a list, in words; what is searched for stands by relevance."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page of Explore shows.

    Attributes:
        tiles: in their order; those that are relevant come first.
        following: the address of the next page; None where this is the last one.
        total: of a list's first page.
        found: of a search.
    """

    tiles: Sequence[Tile]
    following: str | None
    total: Total | None = None
    found: Found | None = None

    @property
    def relevant(self) -> Sequence[Tile]:
        """The tiles above the line where relevance ends."""
        return [tile for tile in self.tiles if tile.is_relevant]

    @property
    def others(self) -> Sequence[Tile]:
        """The tiles below it."""
        return [tile for tile in self.tiles if not tile.is_relevant]


@dataclass(frozen=True, slots=True)
class Try:
    """Something to search for: what it is called, and the address of the search."""

    text: str
    address: str


@dataclass(frozen=True, slots=True)
class ShownChip:
    """A picture of the query as the box shows it."""

    chip: Chip
    title: str
    src: str | None
    turned: str
    without: str
    ground: str


def register(blueprint: Blueprint) -> None:
    """Add the page."""

    @blueprint.get("")
    def explore() -> Any:
        """The library, or what was asked for."""
        tidy = cleaned()
        if tidy is not None:
            return redirect(tidy, 303)
        address = address_of_request()
        if request.args.get("part") == "filters":
            return page("_filters.html", address=address, panel=panel(address), kept=kept_beside)
        shown = _found(address) if address.asks else _listed(address)
        newest_first = (
            shown.found is not None
            and address.sort is Sort.NEWEST
            and shown.found.ranking.relevant_count > 1
        )
        context = {
            "address": address,
            "shown": shown,
            "tries": _tries(address, shown),
            "density": density(),
            "asked": asked(address),
            "sorts": SORTS,
            "save_as": address_of_new(address),
            "newest_first": newest_first,
        }
        if is_fragment():
            return page("_grid.html", part_of_page=True, **context)
        return page(
            "explore.html",
            title=address.words or gettext("Explore"),
            here="pages.explore",
            chips=chips_of(address),
            panel=panel(address) if address.filters else None,
            kept=kept_beside,
            has_trash=bool(current_runtime().settings.trash_days),
            trashed=trashed(address.trashed),
            **context,
        )


def search_of(address: ExploreAddress) -> SearchRequest:
    """Return the search of an address that asks for something; raises as `ExploreAddress.parts` does."""
    asked = asked_by_caller(address.conditions, own_alone=address.mine)
    parts = address.parts
    has_words = any(part.kind is QueryKind.TEXT and part.weight > 0 for part in parts)
    # Words are looked for wherever there are words; pictures alone among what pictures show.
    weights = DEFAULT_WEIGHTS if has_words else None
    choice = Choice(newest_first=address.sort is Sort.NEWEST)
    # Of several parts it is told which one brought a picture.
    explain = len(parts) > 1
    return SearchRequest(
        parts, asked, TILES, Source.PICTURES, weights, choice=choice, explain=explain
    )


def _found(address: ExploreAddress) -> Shown:
    runtime, pager, request = current_runtime(), pager_of_caller(), search_of(address)
    if address.cursor is None:
        found = pages.first_page(runtime, request, pager)
    else:
        found = pages.next_page(runtime, address.cursor, pager, pages.same_search(request), TILES)
    tiles = [
        Tile(
            one.image,
            one.relevance,
            one.hit.is_relevant,
            why(one, request.parts, found.explained),
        )
        for one in found.results
    ]
    past = address.past or any(not tile.is_relevant for tile in tiles)
    return Shown(tiles, _following(address, found.cursor, past="1" if past else None), found=found)


def _listed(address: ExploreAddress) -> Shown:
    scope = scope_of_caller(address.conditions, own_alone=address.mine)
    sort, total = address.sort or Sort.NEWEST, None
    with current_runtime().reading() as session:
        rows = image_lists.list_images(
            session, scope, sort=sort, after=_place(address, sort), limit=TILES + 1
        )
        if address.cursor is None:
            total = image_lists.summary(session, scope, {}).total
    shown, cursor = rows[:TILES], None
    if len(rows) > TILES:
        last = image_lists.place_of(shown[-1], sort)
        cursor = cursor_after(last.image_id, last.value)
    return Shown([Tile(image) for image in shown], _following(address, cursor), total)


def _place(address: ExploreAddress, sort: Sort) -> Place | None:
    if sort in image_lists.SORTED_BY:
        found = value_and_row_id_of(address.cursor)
        return None if found is None else Place(found[1], found[0])
    row_id = row_id_of(address.cursor)
    return None if row_id is None else Place(row_id)


def _following(address: ExploreAddress, cursor: str | None, **more: Any) -> str | None:
    return None if cursor is None else address.with_(cursor=cursor, **more)


def _tries(address: ExploreAddress, shown: Shown) -> list[Try]:
    """Return what there is to try where nothing is asked for, and where nothing that is stands out."""
    is_lost = shown.found is not None and not shown.found.ranking.relevant_count
    is_bare = not address.asks and not any(name != "sort" for name, _ in address.narrowing)
    if address.cursor is not None or not (is_lost or is_bare):
        return []
    viewer_id, language = current_caller().user_id, page_language()
    found = labels_to_try(current_runtime(), viewer_id, limit=TRIES + 1, language=language)
    others = [text for text in found if folded(text) != folded(address.words)]
    return [Try(text, LIBRARY.with_(q=_plain(text))) for text in others[:TRIES]]


def _plain(label: str) -> str:
    """Return a label as words of a search, whatever signs are in it."""
    is_plain = label.replace(" ", "").isalnum()
    return label if is_plain else as_phrase(label, MAX_WORDS)


def chips_of(address: ExploreAddress) -> list[ShownChip]:
    """Return the pictures of the query; an image that is gone, or not shown, has no picture."""
    ids = [int(chip.name) for chip in address.chips if chip.name.isdigit()]
    with current_runtime().reading() as session:
        images = shown_images(session, ids, scope_of_caller()) if ids else {}
    found = []
    for chip in address.chips:
        image = images.get(int(chip.name)) if chip.name.isdigit() else None
        title, src, ground = gettext("a picture"), None, ""
        if image is not None:
            tile = Tile(image)
            title, src, ground = tile.text, tile.src, tile.ground
        elif not chip.name.isdigit():
            title = gettext("your picture")
            src = url_for(
                "query_pictures.get_query_picture_thumbnail", picture_id=int(chip.name[1:])
            )
        turned, without = address.with_chip_turned(chip), address.without_chip(chip)
        found.append(ShownChip(chip, title, src, turned, without, ground))
    return found
