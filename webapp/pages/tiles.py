"""Tiles: what a grid shows of an image."""

from __future__ import annotations

from dataclasses import dataclass

from flask import url_for

from mirada.pictures.shown_images import ShownImage
from webapp.pages.why import Why
from webapp.schemas.pictures import src_of

LEAST_RATIO, MOST_RATIO = 0.4, 3.0
"""Of a tile's width to its height: beyond, the grid shows a part, and the image's page the whole."""
LONGEST_TEXT = 120
"""Characters of what a screen reader says of a tile."""
SIZES = (320, 640)
LARGE = 1280
DARK, DARK_COLOUR, BRIGHT = 0.5, 90, 0.85
"""Transparent pictures below this mean lightness, or whose commonest colour has no channel above that of
255, are lost on a dark tile; those above the last on a light one."""


@dataclass(frozen=True, slots=True)
class Tile:
    """An image as a grid shows it.

    Attributes:
        image: the image.
        relevance: in [0, 1]; None in a list, where nothing was asked.
        is_relevant: whether it is what was asked for.
        why: the reasons for it in words; None in a list.
    """

    image: ShownImage
    relevance: float | None = None
    is_relevant: bool = True
    why: Why | None = None

    @property
    def ratio(self) -> float:
        """Width by height, within what a grid bears."""
        return round(min(max(self.image.width / self.image.height, LEAST_RATIO), MOST_RATIO), 4)

    @property
    def text(self) -> str:
        """The picture in words: its caption, else its prompt, else its name."""
        return title_of(self.image)[:LONGEST_TEXT]

    @property
    def src(self) -> str:
        """The address of the picture for a grid."""
        return self._address(SIZES[0])

    @property
    def srcset(self) -> str:
        """The addresses by width, for screens of more pixels."""
        return ", ".join(f"{self._address(size)} {size}w" for size in SIZES)

    @property
    def large(self) -> str:
        """The address of the picture for a whole screen."""
        return self._address(LARGE)

    @property
    def ground(self) -> str:
        """Classes of what is behind the picture: where a transparent one would be lost, the other tone."""
        lightness, colour = self.image.lightness, self.image.colour
        if not self.image.has_alpha or lightness is None or colour is None:
            return ""
        if lightness < DARK or max(bytes.fromhex(colour[1:])) < DARK_COLOUR:
            return " clear dim"
        return " clear bright" if lightness > BRIGHT else " clear"

    @property
    def colour(self) -> str | None:
        """The colour of the tile before the picture is there; None where the tile is seen beside it."""
        return None if self.image.has_alpha else self.image.colour

    def _address(self, size: int) -> str:
        token = self.image.picture_token
        if token is None:
            return url_for("images.get_image_thumbnail", image_id=self.image.id, size=size)
        # As replies have it: an address that never changes, so that a picture is asked for once.
        return src_of(token)[str(size)]


def title_of(image: ShownImage) -> str:
    """Return what an image is called: its caption, else its prompt, its file's name, or its number."""
    named = (image.caption, image.prompt, image.filename)
    return next((text.strip() for text in named if text and text.strip()), f"#{image.id}")
