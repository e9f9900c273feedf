"""The best of some duplicates, which to keep, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.models import Content, Image

ALIKE = 1.02
"""Times as much that does not count as more: a picture of 1,000 pixels is no better than one of 990."""


class Reason(StrEnum):
    """Why an image is the best of a group: the first that tells it from the others."""

    MOST_PIXELS = "most_pixels"
    LEAST_COMPRESSED = "least_compressed"
    MOST_LIKES = "most_likes"
    OLDEST = "oldest"


class Measured(NamedTuple):
    """What images are compared by: size in pixels, upright, size in bytes, and everybody's likes."""

    id: int
    width: int
    height: int
    byte_size: int
    like_count: int


class Comparable(Protocol):
    """Whatever tells what a `Measured` does."""

    @property
    def id(self) -> int:
        """The image."""

    @property
    def width(self) -> int:
        """Pixels, upright."""

    @property
    def height(self) -> int:
        """Pixels, upright."""

    @property
    def byte_size(self) -> int:
        """Of the file."""

    @property
    def like_count(self) -> int:
        """Everybody's likes."""


@dataclass(frozen=True, slots=True)
class Best:
    """The image to keep of a group, and why."""

    image_id: int
    reason: Reason


_MEASURES: Sequence[tuple[Reason, Callable[[Comparable], float], float]] = (
    (Reason.MOST_PIXELS, lambda image: image.width * image.height, ALIKE),
    (
        Reason.LEAST_COMPRESSED,
        lambda image: image.byte_size / max(1, image.width * image.height),
        ALIKE,
    ),
    (Reason.MOST_LIKES, lambda image: image.like_count, 1.0),
    (Reason.OLDEST, lambda image: -image.id, 1.0),
)


def best_of(images: Sequence[Comparable]) -> Best:
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


def measured(session: Session, image_ids: Iterable[int]) -> list[Measured]:
    """Return what images are compared by; the caller has seen to it that the viewer sees them."""
    query = select(
        *(Image.id, Content.width, Content.height, Content.byte_size, Image.like_count)
    ).join(Content, Content.id == Image.content_id)
    return [Measured(*row) for row in rows_in(session, query, Image.id, image_ids)]
