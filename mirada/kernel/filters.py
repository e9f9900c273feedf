"""ImageFilter: the images that somebody wants to see, as one value; `mirada.db.filters` makes SQL of it.

A filter narrows what is shown. It never permits anything: that is `Audience`'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Self

from mirada.kernel.colours import ColourName
from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import ImageStatus

MAP_SIDE = 65_535
"""Greatest coordinate of a place on the map; the least is 0."""
_COORDINATE = re.compile("[0-9]{1,5}", re.ASCII)


class Shape(StrEnum):
    """The shape of a picture. Sides that differ by up to a tenth of the shorter one are a square."""

    SQUARE = "square"
    LANDSCAPE = "landscape"
    PORTRAIT = "portrait"

    @classmethod
    def of(cls, width: int, height: int) -> Self:
        """Return the shape of a picture of so many pixels, each >= 1.

        >>> [Shape.of(*size).value for size in ((110, 100), (111, 100), (100, 111))]
        ['square', 'landscape', 'portrait']
        """
        if 10 * width > 11 * height:
            return cls.LANDSCAPE
        return cls.PORTRAIT if 10 * height > 11 * width else cls.SQUARE


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict on pictures that a filter asks for: unsafe, or not.

    Attributes:
        is_unsafe: which of the two.
        threshold: least NSFW score in [0, 1] that is unsafe.
    """

    is_unsafe: bool
    threshold: float


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of the map, its edges included; coordinates are 0 to MAP_SIDE, y downwards.

    Attributes:
        left, top: of the corner nearest to 0.
        right, bottom: of the other corner; neither is less than the first.
    """

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the area that is written LEFT,TOP,RIGHT,BOTTOM.

        >>> Area.read("0,0,300,65535")
        Area(left=0, top=0, right=300, bottom=65535)

        Raises:
            InvalidInput: it is not written so, or a number is out of range.
        """
        parts = text.split(",")
        if len(parts) == 4 and all(_COORDINATE.fullmatch(part) for part in parts):
            area = cls(*map(int, parts))
            if area.left <= area.right <= MAP_SIDE and area.top <= area.bottom <= MAP_SIDE:
                return area
        raise InvalidInput(
            "Must be LEFT,TOP,RIGHT,BOTTOM: whole numbers of 0 to 65535, such as 0,0,30000,20000."
        )

    def __str__(self) -> str:
        """Return it as `read` takes it."""
        return f"{self.left},{self.top},{self.right},{self.bottom}"


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """The conditions an image has to meet, all of them; None asks nothing. Hashable.

    Attributes:
        owner_ids: one of these people owns it.
        is_public: its visibility.
        statuses: its status is one of these.
        is_animated: it has several frames.
        shapes: it has one of these shapes.
        colours: its commonest colour is called so; none before it is READY.
        has_prompt: it was made from a prompt that is known.
        is_liked: the viewer likes it; nobody likes anything without a key.
        created_after: it was uploaded at that time or later; with a time zone.
        created_before: it was uploaded before that time; with a time zone.
        theme: a verdict that the viewer may see accepts it for this theme, a `theme_key`.
        labels: the viewer had it classified, and the newest result is one of these labels. An image
            that they never had classified has no label, and neither has one that fits none.
        group_id: it is in that group, as the viewer sees the groups of the newest run.
        nsfw: its picture was judged so. One that was not judged yet is neither safe nor unsafe.
        filename: the name of its file holds these characters, capitals or not. File names are their
            owners' alone, so that only the viewer's own images pass.
        asset_id: its owner calls it so; only the viewer's own images pass.
        area: it lies there on the newest map.
        tags: it has every one of these tags, by their `tag_key`.
        shows: the model called its picture one of these when it came in, by the labels' names.
        pack_id: it is in that pack, which the viewer may see. Nothing is in a pack that fills itself.
        external_id: the system that it was imported from calls it so.
    """

    owner_ids: frozenset[int] | None = None
    is_public: bool | None = None
    statuses: frozenset[ImageStatus] | None = None
    is_animated: bool | None = None
    shapes: frozenset[Shape] | None = None
    colours: frozenset[ColourName] | None = None
    has_prompt: bool | None = None
    is_liked: bool | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    theme: str | None = None
    labels: frozenset[str] | None = None
    group_id: int | None = None
    nsfw: Judged | None = None
    filename: str | None = None
    asset_id: str | None = None
    area: Area | None = None
    tags: frozenset[str] | None = None
    shows: frozenset[str] | None = None
    pack_id: int | None = None
    external_id: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether every image passes."""
        return self == EVERYTHING

    @property
    def asked(self) -> tuple[str, ...]:
        """The names of the attributes that it asks for."""
        return tuple(name for name in ATTRIBUTES if getattr(self, name) is not None)


ATTRIBUTES = tuple(field.name for field in fields(ImageFilter))
"""The names of all attributes."""
EVERYTHING = ImageFilter()
"""The filter that every image passes."""
