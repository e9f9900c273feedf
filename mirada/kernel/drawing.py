"""What may be asked of whoever draws a picture from words."""

from __future__ import annotations

import re

from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import MAX_PIXELS

SIZE = re.compile(r"auto|([1-9]\d{1,3})x([1-9]\d{1,3})")
"""Sides of 10 to 9,999 pixels; which of them a model knows is for its server to say, and what `auto` is."""


def checked_size(size: str) -> str:
    """Return the size. Raises InvalidInput for one that is none, or over MAX_PIXELS."""
    match = SIZE.fullmatch(size)
    if match is None:
        reason = "A size is WIDTHxHEIGHT in pixels, such as 1024x1024, or auto."
    elif pixels_of(size) > MAX_PIXELS:
        reason = f"At most {MAX_PIXELS:,} pixels are kept; this would have {pixels_of(size):,}."
    else:
        return size
    raise InvalidInput(reason, fields={"size": [reason]})


def sides_of(size: str) -> tuple[int | None, int | None]:
    """Return width and height in pixels; None for both where the model chooses."""
    match = SIZE.fullmatch(size)
    if match is None or match[1] is None:
        return None, None
    return int(match[1]), int(match[2])


def pixels_of(size: str) -> int:
    """Return how many pixels a size has; 0 where the model chooses."""
    width, height = sides_of(size)
    return (width or 0) * (height or 0)
