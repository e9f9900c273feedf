"""The size of a picture made from words: checked, and read as pixels."""

from __future__ import annotations

import re

from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import MAX_PIXELS

SIZE = re.compile(r"auto|([1-9]\d{1,3})x([1-9]\d{1,3})")
"""Sides of 10 to 9,999 pixels, or `auto`. The model's server decides which sizes it draws."""


def checked_size(size: str) -> str:
    """Return the size unchanged.

    Raises:
        InvalidInput: it is not of the form of SIZE, or has more than MAX_PIXELS pixels.
    """
    match = SIZE.fullmatch(size)
    if match is None:
        reason = "A size is WIDTHxHEIGHT in pixels, such as 1024x1024, or auto."
    elif pixels_of(size) > MAX_PIXELS:
        reason = f"At most {MAX_PIXELS:,} pixels are kept; this would have {pixels_of(size):,}."
    else:
        return size
    raise InvalidInput(reason, fields={"size": [reason]})


def sides_of(size: str) -> tuple[int | None, int | None]:
    """Return width and height in pixels; (None, None) for `auto`."""
    match = SIZE.fullmatch(size)
    if match is None or match[1] is None:
        return None, None
    return int(match[1]), int(match[2])


def pixels_of(size: str) -> int:
    """Return the number of pixels of a size; 0 for `auto`."""
    width, height = sides_of(size)
    return (width or 0) * (height or 0)
