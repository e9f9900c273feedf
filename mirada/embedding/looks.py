"""How a picture looks: its colours, its lightness, a placeholder until it is there, and a hash of it.

All of it comes from the pixels that the encoder gets, so it costs no decoding.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mirada.embedding.palette import (
    MAX_SIDE_PX,
    Colour,
    commonest_of,
    palette_of,
    to_stored,
)
from mirada.kernel.images import Seen
from mirada.kernel.picture_hash import picture_hash
from mirada.kernel.thumbhash import thumbhash

_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4)
_TO_LMS = np.array(
    [
        [0.4122214708, 0.2119034982, 0.0883024619],
        [0.5363325363, 0.6806995451, 0.2817188376],
        [0.0514459929, 0.1073969566, 0.6299787005],
    ]
)
_TO_LIGHTNESS = np.array([0.2104542553, 0.7936177850, -0.0040720468])
"""Oklab, https://bottosson.github.io/posts/oklab/: linear sRGB to cones' answers, and their roots to L."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture looks.

    Attributes:
        palette: its colours as seen on white, the commonest first.
        has_alpha: whether it is transparent somewhere.
        placeholder: its ThumbHash, base64, at most 36 characters.
        colour: the commonest colour of what is not transparent, "#rrggbb".
        lightness: mean lightness (Oklab) of that, in [0, 1].
        picture_hash: by which duplicates are found, of `kernel.picture_hash`.
    """

    palette: Sequence[Colour]
    has_alpha: bool
    placeholder: str
    colour: str
    lightness: float
    picture_hash: bytes

    def columns(self) -> dict[str, Any]:
        """Return the values of a content's columns by their names."""
        return {
            "palette": to_stored(self.palette),
            "has_alpha": self.has_alpha,
            "placeholder": self.placeholder,
            "colour": self.colour,
            "lightness": self.lightness,
            "picture_hash": self.picture_hash,
        }


def look_of(seen: Seen) -> Look:
    """Return how a picture looks."""
    step = max(1, -(-max(seen.pixels.shape[:2]) // MAX_SIDE_PX))
    pixels, palette = seen.pixels[::step, ::step], palette_of(seen.pixels)
    hashed = picture_hash(seen)
    if seen.opacity is None:
        placeholder = thumbhash(pixels / 255, None)
        colour = palette[0].hex if palette else commonest_of(pixels, None)
        return _look(palette, placeholder, colour, _lightness(pixels, None), hashed, False)
    alpha = seen.opacity[::step, ::step] / 255
    # The pixels stand on white; without it they are premultiplied.
    premultiplied = np.clip(pixels / 255 - (1 - alpha)[..., None], 0, alpha[..., None])
    placeholder = thumbhash(premultiplied, alpha)
    if not alpha.any():
        return _look(palette, placeholder, "#ffffff", 1.0, hashed)
    plain = np.divide(premultiplied, alpha[..., None], where=alpha[..., None] > 0, out=pixels / 255)
    levels = np.rint(255 * plain).astype(np.uint8)
    colour = commonest_of(levels, alpha)
    return _look(palette, placeholder, colour, _lightness(levels, alpha), hashed)


def _look(
    palette: Sequence[Colour],
    placeholder: bytes,
    colour: str,
    lightness: float,
    hashed: bytes,
    has_alpha: bool = True,
) -> Look:
    text = base64.b64encode(placeholder).decode()
    return Look(palette, has_alpha, text, colour, round(min(max(lightness, 0.0), 1.0), 3), hashed)


def _lightness(pixels: npt.NDArray[np.uint8], weights: npt.NDArray[np.float64] | None) -> float:
    # Every second one of each side: the mean of a thousand is the mean of four thousand.
    linear = _LINEAR[pixels[::2, ::2].reshape(-1, 3)]
    lightness = np.cbrt(linear @ _TO_LMS) @ _TO_LIGHTNESS
    if weights is None:
        return float(lightness.mean())
    chosen = weights[::2, ::2].reshape(-1)
    return float((lightness * chosen).sum() / max(float(chosen.sum()), 1e-12))
