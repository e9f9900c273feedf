"""Map: the library in two dimensions, its groups beside it, and what one searches for lit up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import marshmallow as ma
from flask import Blueprint, Response, request, url_for
from flask_babel import gettext
from marshmallow import validate

from mirada.groups import map_seen
from mirada.groups.map_seen import MapGroup
from mirada.kernel.projecting import SIDE
from mirada.pictures.shown_images import ShownImage
from mirada.search import run
from webapp.callers.asking import scope_of_caller
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime
from webapp.http.rest import ApiParser
from webapp.pages.explore import chips_of, search_of
from webapp.pages.explore_address import ExploreAddress, ExploreSchema, address_of
from webapp.pages.label_names import group_names
from webapp.pages.shell import is_fragment, page
from webapp.pages.tiles import Tile

MOST_LIT = 200
"""Pictures that a search lights up; more would be no answer."""
MOST_ZOOM = 64


class MapPageSchema(ExploreSchema):
    """The parameters of the map: those of a search, and the view."""

    x = ma.fields.Float(load_default=None, validate=validate.Range(0, 1))
    y = ma.fields.Float(load_default=None, validate=validate.Range(0, 1))
    zoom = ma.fields.Float(load_default=None, validate=validate.Range(1, MOST_ZOOM))


@dataclass(frozen=True, slots=True)
class MapAddress(ExploreAddress):
    """What an address of the map says: a search, whose pictures are lit up."""

    def with_(self, **changes: Any) -> str:
        """Return the address of the map with these parameters; see `ExploreAddress.with_`."""
        given = {**self.sent, **changes}
        kept = {name: value for name, value in given.items() if value not in (None, [], "")}
        return url_for("pages.map", **kept)


@dataclass(frozen=True, slots=True)
class ShownGroup:
    """A group as the list beside the map shows it.

    Attributes:
        group: its number, place and size.
        name: the nearest label; None while labels cannot be encoded.
        hue: of its colour, in degrees; groups that lie beside one another have similar ones.
        tiles: a few of its pictures.
        address: of all of them in Explore.
    """

    group: MapGroup
    name: str | None
    hue: int
    tiles: Sequence[Tile]
    address: str


@dataclass(frozen=True, slots=True)
class Lit:
    """What a search lights up.

    Attributes:
        ids: of the images that are relevant.
        is_cut: there are more.
        address: of the same search in Explore.
    """

    ids: Sequence[int]
    is_cut: bool
    address: str


def register(blueprint: Blueprint) -> None:
    """Add the page."""

    @blueprint.get("/map", endpoint="map")
    def the_map() -> Response:
        """The map, or for a script what a search lights up."""
        parsed = ApiParser().parse(MapPageSchema, request, location="query", unknown=ma.RAISE)
        listed = address_of(parsed)
        address = MapAddress(*(getattr(listed, each.name) for each in fields(listed)))
        lit = _lit(listed) if listed.asks else None
        if is_fragment():
            return page("_map_lit.html", lit=lit)
        seen = map_seen.see_map(current_runtime(), scope_of_caller())
        return page(
            "map.html",
            title=address.words or gettext("Map"),
            here="pages.map",
            searches_at=url_for("pages.map"),
            address=address,
            chips=chips_of(address),
            lit=lit,
            seen=seen,
            groups=_groups(seen.groups),
            area=parsed.get("area"),
            view={name: parsed[name] for name in ("x", "y", "zoom")},
        )


def _lit(listed: ExploreAddress) -> Lit:
    found = run.run(current_runtime(), replace(search_of(listed), k=MOST_LIT))
    ids = [one.image.id for one in found.results if one.hit.is_relevant]
    return Lit(ids, len(ids) == MOST_LIT, listed.with_())


def _groups(groups: Sequence[MapGroup]) -> list[ShownGroup]:
    viewer_id = current_caller().user_id
    names = group_names([group.seen for group in groups])
    return [
        ShownGroup(
            group,
            name,
            _hue(group),
            [Tile(ShownImage.of(one.image, viewer_id, liked=False)) for one in group.seen.members],
            url_for("pages.explore", group=group.seen.id),
        )
        for group, name in zip(groups, names, strict=True)
    ]


def _hue(group: MapGroup) -> int:
    """Return a hue by the direction from the middle of the map: it lasts as long as places do."""
    return round(math.degrees(math.atan2(group.y - SIDE / 2, group.x - SIDE / 2))) % 360
