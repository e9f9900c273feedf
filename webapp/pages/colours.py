"""Colours in words, in the language of the page."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext

from mirada.kernel.colours import ColourName

NAMES: dict[ColourName, Any] = {
    ColourName.RED: lazy_gettext("red"),
    ColourName.ORANGE: lazy_gettext("orange"),
    ColourName.YELLOW: lazy_gettext("yellow"),
    ColourName.GREEN: lazy_gettext("green"),
    ColourName.TURQUOISE: lazy_gettext("turquoise"),
    ColourName.BLUE: lazy_gettext("blue"),
    ColourName.PURPLE: lazy_gettext("purple"),
    ColourName.PINK: lazy_gettext("pink"),
    ColourName.BROWN: lazy_gettext("brown"),
    ColourName.BEIGE: lazy_gettext("beige"),
    ColourName.BLACK: lazy_gettext("black"),
    ColourName.GREY: lazy_gettext("grey"),
    ColourName.WHITE: lazy_gettext("white"),
}
