"""Memory: what somebody's own pictures have in common: styles, subjects, colours, months."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import format_date, gettext, lazy_gettext

from mirada.kernel.colours import ColourName, name_of
from mirada.kernel.errors import NotFound
from mirada.kernel.signs import as_phrase
from mirada.memory.summary import OwnStyle, Taste
from mirada.memory.taste import taste
from mirada.pictures.shown_images import ShownImage, shown_images
from webapp.callers.asking import scope_of_caller
from webapp.callers.auth import require_user
from webapp.http.current import current_runtime
from webapp.pages.colours import NAMES
from webapp.pages.explore_address import LIBRARY, MAX_WORDS
from webapp.pages.shell import page
from webapp.pages.tiles import Tile

OWN = replace(LIBRARY, mine=True, sent={"mine": ["true"]})
"""The list of one's own pictures, which everything here is of."""
EXAMPLES = 4
TREND_MONTHS = 12
BAR_WIDTH, BAR_HEIGHT = 8, 28
"""Of a trend, in its own pixels."""
MOST_MONTHS = 24
KINDS = {
    "listed": lazy_gettext("A known style"),
    "phrase": lazy_gettext("The same words again and again"),
    "group": lazy_gettext("Prompts that mean alike"),
    "look": lazy_gettext("Pictures that look alike"),
}
"""How a style was found."""

Counts = Sequence[tuple[str, int]]
"""Pictures by month, "2026-01", oldest first."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A month of a trend, drawn from (x, y) to the foot.

    Attributes:
        title: the month and how many pictures, in words.
    """

    x: int
    y: int
    height: int
    title: str


@dataclass(frozen=True, slots=True)
class StyleCard:
    """A style as the page shows it."""

    style: OwnStyle
    how: Any
    address: str
    tiles: Sequence[Tile]
    trend: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Lead:
    """Something that leads to pictures: a subject, a colour or a month.

    Attributes:
        text: what it is called.
        address: of its pictures.
        count: how many pictures; for a colour, its share in per cent.
        tile: an example; None where there is none to show.
        colour: such as "#1b2a41"; "" for anything but a colour.
    """

    text: Any
    address: str
    count: int
    tile: Tile | None = None
    colour: str = ""


def register(blueprint: Blueprint) -> None:
    """Add the pages."""
    blueprint.get("/memory")(memory)
    blueprint.get("/memory/style")(memory_style)


def memory() -> Response:
    """Styles, subjects, colours and months."""
    found = _taste()
    wanted = {each for style in found.styles for each in style.image_ids[:EXAMPLES]}
    images = _images(wanted | {each.example_image_id for each in found.subjects})
    return page(
        "memory.html",
        title=gettext("Memory"),
        here="pages.memory",
        taste=found,
        styles=[_card(style, found, images) for style in found.styles],
        subjects=_subjects(found, images),
        colours=_colours(found),
        months=_months(found.months),
        trend_bar=(BAR_WIDTH, BAR_HEIGHT),
        is_looking=current_runtime().settings.embeddings_enabled,
        own=OWN.with_(),
    )


def memory_style() -> Response:
    """The pictures of one style."""
    name = request.args.get("name", "")
    style = next((one for one in _taste().styles if one.label == name), None)
    if style is None:
        raise NotFound(
            "No style of this name recurs in your pictures now. Styles change with what you add."
        )
    images = _images(style.image_ids)
    return page(
        "memory_style.html",
        title=style.label,
        here="pages.memory",
        style=style,
        how=KINDS[style.kind],
        tiles_shown=_tiles(style.image_ids, images),
        list=OWN,
        asking=OWN.with_(q=as_phrase(style.label, MAX_WORDS)),
    )


def _taste() -> Taste:
    return taste(current_runtime(), require_user().id)


def _images(image_ids: Iterable[int]) -> Mapping[int, ShownImage]:
    """Return those of the caller's own images that are there now."""
    scope = scope_of_caller(own_alone=True)
    with current_runtime().reading() as session:
        return shown_images(session, image_ids, scope)


def _tiles(image_ids: Iterable[int], images: Mapping[int, ShownImage]) -> list[Tile]:
    return [Tile(images[each]) for each in image_ids if each in images]


def _card(style: OwnStyle, found: Taste, images: Mapping[int, ShownImage]) -> StyleCard:
    return StyleCard(
        style,
        KINDS[style.kind],
        url_for("pages.memory_style", name=style.label),
        _tiles(style.image_ids[:EXAMPLES], images),
        trend_of(style.by_month, found.months[-1][0]),
    )


def trend_of(counts: Counts, newest: str) -> list[Bar]:
    """Return the bars of the TREND_MONTHS that end with a month; those without pictures have no height."""
    known, year, month = dict(counts), *map(int, newest.split("-"))
    last = year * 12 + month - 1
    names = [f"{n // 12}-{n % 12 + 1:02}" for n in range(last - TREND_MONTHS + 1, last + 1)]
    most = max((known.get(name, 0) for name in names), default=0)
    bars = []
    for place, name in enumerate(names):
        count = known.get(name, 0)
        height = -(-count * BAR_HEIGHT // most) if most else 0
        bars.append(
            Bar(place * BAR_WIDTH, BAR_HEIGHT - height, height, f"{month_name(name)}: {count}")
        )
    return bars


def month_name(month: str) -> str:
    """Return a month such as "2026-01" in words."""
    return format_date(_first_day(month), "LLL y")


def _first_day(month: str) -> date:
    year, number = map(int, month.split("-"))
    return date(year, number, 1)


def _subjects(found: Taste, images: Mapping[int, ShownImage]) -> list[Lead]:
    leads = []
    for one in found.subjects:
        image = images.get(one.example_image_id)
        address = OWN.with_(q=as_phrase(one.subject, MAX_WORDS))
        tile = None if image is None else Tile(image)
        leads.append(Lead(one.subject, address, one.frequency, tile))
    return leads


def _colours(found: Taste) -> list[Lead]:
    """Return the palette, largest share first; colours of one name lead to one list, so they are one."""
    shown: dict[ColourName, str] = {}
    shares: dict[ColourName, float] = {}
    for colour in found.palette:
        name = name_of(colour.hex)
        shown.setdefault(name, colour.hex)
        shares[name] = shares.get(name, 0.0) + colour.share
    return [
        Lead(NAMES[name], OWN.with_(colour=name.value), round(share * 100), colour=shown[name])
        for name, share in sorted(shares.items(), key=lambda one: -one[1])
    ]


def _months(counts: Counts) -> list[Lead]:
    """Return the newest months first, each with the list of its pictures."""
    leads = []
    for month, count in counts[: -MOST_MONTHS - 1 : -1]:
        first = _first_day(month)
        after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        address = OWN.with_(created_after=first.isoformat(), created_before=after.isoformat())
        leads.append(Lead(month_name(month), address, count))
    return leads
