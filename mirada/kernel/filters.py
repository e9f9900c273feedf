"""ImageFilter: the images that somebody wants to see, as one value; `mirada.db.filters` makes SQL of it.

A filter narrows what is shown. It never permits anything: that is `Audience`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mirada.kernel.images import ImageStatus


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """The conditions an image has to meet, all of them; None asks nothing. Hashable.

    Attributes:
        is_public: its visibility.
        statuses: its status is one of these.
        is_animated: it has several frames.
        has_prompt: it was made from a prompt that is known.
        created_after: it was uploaded at that time or later; with a time zone.
        created_before: it was uploaded before that time; with a time zone.
    """

    is_public: bool | None = None
    statuses: frozenset[ImageStatus] | None = None
    is_animated: bool | None = None
    has_prompt: bool | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Whether every image passes."""
        return self == EVERYTHING


EVERYTHING = ImageFilter()
"""The filter that every image passes."""
