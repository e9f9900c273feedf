"""The copies of a picture that are kept for showing it: their sizes, and the names of their files."""

from __future__ import annotations

THUMBNAIL_SIDES_PX = (320, 640, 1280)
"""Longer sides of thumbnails: two per row on a telephone, a page's column, a whole screen."""
THUMBNAIL_SIDE_PX = THUMBNAIL_SIDES_PX[0]
"""The one that lists show, which is made with the picture's vector."""
FULL_SIDE_PX = 4096
"""Longer side of what others get in place of an original; WebP itself ends at 16,383."""
EDITION = 2
"""Part of the names and tags of still copies; a new number makes them all anew. The first ones kept texts
that generators hide in opacity, and showed empty first frames."""
ALL_MADE = 3
"""What a content's `thumbnails_edition` says once its copies of this EDITION are there, and its look: a new
number has a worker see to every picture again."""
MOVING, STILL = "moving.webp", "still.txt"
"""Tails of an animation's copy, and of the sentence that says why there is none."""
NONE = f"none.{EDITION}.txt"
"""Tail of the sentence that says why a picture has no thumbnails."""


def tail_of(side_px: int) -> str:
    """Return the tail of a still copy's name."""
    return f"{side_px}.{EDITION}.webp"


def fitting(side_px: int, width: int, height: int) -> int:
    """Return the side of the thumbnail to show where `side_px` is asked for, one of the three or more.

    No picture is enlarged: where a smaller thumbnail has all of its pixels there is no larger one.
    """
    longer = max(width, height)
    return next(side for side in THUMBNAIL_SIDES_PX if side >= min(side_px, longer, 1280))


def sides_for(width: int, height: int) -> list[int]:
    """Return the sides of all thumbnails of a picture, the smallest first."""
    return sorted({fitting(side_px, width, height) for side_px in THUMBNAIL_SIDES_PX})


def all_tails() -> list[str]:
    """Return the tails of every copy that this version, or an earlier one, has made."""
    sides = (*THUMBNAIL_SIDES_PX, FULL_SIDE_PX)
    earlier = [f"{side_px}.webp" for side_px in sides]
    return [*earlier, *(tail_of(side_px) for side_px in sides), MOVING, STILL, NONE]
