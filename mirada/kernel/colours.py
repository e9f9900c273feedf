"""The names of colours: what a picture's commonest colour is called, so that it can be asked for."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from itertools import product


class ColourName(StrEnum):
    """A name that people give a colour."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"
    TURQUOISE = "turquoise"
    BLUE = "blue"
    PURPLE = "purple"
    PINK = "pink"
    BROWN = "brown"
    BEIGE = "beige"
    BLACK = "black"
    GREY = "grey"
    WHITE = "white"


BLACK_BELOW, WHITE_ABOVE = 0.14, 0.9
"""Of lightness in [0, 1]."""
GREY_BELOW = 0.14
"""Of saturation in [0, 1]: less has no hue that one would name."""
GREY_WITHIN = 1.5 / 16
"""Between the largest and the smallest of red, green and blue: one sixteenth is no colour, but a warm or cold
grey, and what is between two sixteenths cannot be told."""
HUES = (
    (15, ColourName.RED),
    (42, ColourName.ORANGE),
    (68, ColourName.YELLOW),
    (165, ColourName.GREEN),
    (195, ColourName.TURQUOISE),
    (255, ColourName.BLUE),
    (290, ColourName.PURPLE),
    (345, ColourName.PINK),
    (361, ColourName.RED),
)
"""The first degrees of the colour wheel that have the next name, and the name before."""


def name_of(colour: str) -> ColourName:
    """Return what a colour is mostly called: a name for each sixteenth of red, green and blue.

    Databases know a colour as text, and can compare its digits.

    Args:
        colour: such as "#1b2a41".

    >>> [name_of(one).value for one in ("#0b0b0c", "#1b2a41", "#8a5a2b", "#e3d3b0", "#d22020")]
    ['black', 'blue', 'brown', 'beige', 'red']
    """
    return names()[colour[1] + colour[3] + colour[5]]


@cache
def names() -> Mapping[str, ColourName]:
    """Return the name of each colour by the first hexadecimal digits of its red, green and blue."""
    digits = "0123456789abcdef"
    # The middle of each sixteenth; the first is black, and the last is white where all three are.
    return {
        red + green + blue: _name(*((int(each, 16) + 0.5) / 16 for each in (red, green, blue)))
        for red, green, blue in product(digits, repeat=3)
    }


def _name(red: float, green: float, blue: float) -> ColourName:
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    if lightness < BLACK_BELOW:
        return ColourName.BLACK
    if lightness > WHITE_ABOVE:
        return ColourName.WHITE
    if saturation < GREY_BELOW or max(red, green, blue) - min(red, green, blue) < GREY_WITHIN:
        return ColourName.GREY
    name = next(name for end, name in HUES if hue * 360 < end)
    if name in (ColourName.ORANGE, ColourName.YELLOW):
        if lightness > 0.68 and saturation < 0.75:
            return ColourName.BEIGE
        if lightness < 0.4 or saturation < 0.5:
            return ColourName.BROWN
    return name
