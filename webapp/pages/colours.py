"""Colours in words, so that a colour can be searched for as people say it."""

from __future__ import annotations

import colorsys
from typing import Any

from flask_babel import lazy_gettext

BLACK, WHITE = 0.14, 0.9
"""Of lightness in [0, 1]: darker is black, lighter is white."""
GREY = 0.14
"""Of saturation in [0, 1]: less has no hue that one would name."""
NAMES = {
    "black": lazy_gettext("black"),
    "white": lazy_gettext("white"),
    "grey": lazy_gettext("grey"),
    "brown": lazy_gettext("brown"),
    "beige": lazy_gettext("beige"),
    "red": lazy_gettext("red"),
    "orange": lazy_gettext("orange"),
    "yellow": lazy_gettext("yellow"),
    "green": lazy_gettext("green"),
    "turquoise": lazy_gettext("turquoise"),
    "blue": lazy_gettext("blue"),
    "purple": lazy_gettext("purple"),
    "pink": lazy_gettext("pink"),
}
HUES = (
    (15, "red"),
    (42, "orange"),
    (68, "yellow"),
    (165, "green"),
    (195, "turquoise"),
    (255, "blue"),
    (290, "purple"),
    (345, "pink"),
    (361, "red"),
)
"""The first degrees of the colour wheel that have the next name, and the name before."""


def name_of(colour: str) -> str:
    """Return what a colour is mostly called, a key of NAMES.

    Args:
        colour: such as "#1b2a41".

    >>> [name_of(one) for one in ("#0b0b0c", "#1b2a41", "#8a5a2b", "#e3d3b0", "#d22020")]
    ['black', 'blue', 'brown', 'beige', 'red']
    """
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    if lightness < BLACK:
        return "black"
    if lightness > WHITE:
        return "white"
    if saturation < GREY or max(red, green, blue) - min(red, green, blue) < 0.06:
        return "grey"
    name = next(name for end, name in HUES if hue * 360 < end)
    if name in ("orange", "yellow"):
        if lightness > 0.68 and saturation < 0.75:
            return "beige"
        if lightness < 0.4 or saturation < 0.5:
            return "brown"
    return name


def said(colour: str) -> Any:
    """Return the name of a colour in the language of the page."""
    return NAMES[name_of(colour)]
