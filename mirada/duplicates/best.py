"""The best of some duplicates, which to keep, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mirada.pictures.shown_images import ShownImage

ALIKE = 1.02
"""Times as much that does not count as more: a picture of 1,000 pixels is no better than one of 990."""


class Reason(StrEnum):
    """Why an image is the best of a group: the first that tells it from the others."""

    MOST_PIXELS = "most_pixels"
    LEAST_COMPRESSED = "least_compressed"
    MOST_LIKES = "most_likes"
    OLDEST = "oldest"


@dataclass(frozen=True, slots=True)
class Best:
    """The image to keep of a group, and why."""

    image_id: int
    reason: Reason


_MEASURES: Sequence[tuple[Reason, Callable[[ShownImage], float], float]] = (
    (Reason.MOST_PIXELS, lambda image: image.width * image.height, ALIKE),
    (
        Reason.LEAST_COMPRESSED,
        lambda image: image.byte_size / max(1, image.width * image.height),
        ALIKE,
    ),
    (Reason.MOST_LIKES, lambda image: image.like_count, 1.0),
    (Reason.OLDEST, lambda image: -image.id, 1.0),
)


def best_of(images: Sequence[ShownImage]) -> Best:
    """Return the best of some images, and the first measure by which it is better than another.

    Args:
        images: one at least.
    """
    left = list(images)
    decided = Reason.OLDEST
    for reason, measure, alike in _MEASURES:
        most = max(measure(image) for image in left)
        kept = [image for image in left if measure(image) * (alike if most > 0 else 1) >= most]
        if len(kept) < len(left):
            decided = reason
        left = kept
        if len(left) == 1:
            break
    return Best(left[0].id, decided)
