"""The few colours that a picture is made of, and those of many pictures together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.kernel.images import RgbImage

COLOURS = 5
MAX_SIDE_PX = 64
"""Every so many pixels one is looked at: 4,096 of them tell what a picture is made of."""
BIN_BITS = 3
"""512 bins: colours nearer than 32 of 256 steps in each channel are mostly one to the eye."""
LEAST_DISTANCE = 48.0
"""Between two colours of a palette, Euclid in RGB; nearer ones count as one."""
LEAST_SHARE = 0.02

StoredPalette = list[list[object]]
"""["#rrggbb", share] for each colour, the commonest first: what the database keeps."""


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour and its share of what was looked at, in (0, 1]."""

    hex: str
    share: float


def palette_of(pixels: RgbImage) -> list[Colour]:
    """Return up to COLOURS colours of a picture, the commonest first."""
    step = max(1, -(-max(pixels.shape[:2]) // MAX_SIDE_PX))
    sampled = pixels[::step, ::step].reshape(-1, 3).astype(np.float64)
    return _reduced(sampled, np.full(len(sampled), 1.0 / len(sampled)))


def commonest_of(pixels: npt.NDArray[np.uint8], weights: npt.NDArray[np.float64] | None) -> str:
    """Return the commonest colour as "#rrggbb".

    Args:
        pixels: (h, w, 3) uint8 sRGB.
        weights: (h, w), how much each pixel counts, not all 0; None: all alike.
    """
    colours = pixels.reshape(-1, 3).astype(np.float64)
    counts = np.ones(len(colours)) if weights is None else weights.reshape(-1)
    shares = counts / counts.sum()
    found = _reduced(colours, shares)
    # Of noise no colour has a share to speak of.
    return found[0].hex if found else _hex((colours * shares[:, None]).sum(axis=0).tolist())


def merged(palettes: Iterable[Sequence[Colour]]) -> list[Colour]:
    """Return up to COLOURS colours of many pictures, each picture counting alike; [] for none."""
    found = [palette for palette in palettes if palette]
    if not found:
        return []
    colours = np.array([_rgb(colour.hex) for palette in found for colour in palette])
    weights = np.array([colour.share / len(found) for palette in found for colour in palette])
    return _reduced(colours, weights)


def to_stored(palette: Sequence[Colour]) -> StoredPalette:
    """Return a palette as the database keeps it."""
    return [[colour.hex, round(colour.share, 4)] for colour in palette]


def from_stored(stored: Sequence[Sequence[object]]) -> list[Colour]:
    """Return what `to_stored` was given."""
    return [Colour(str(colour), float(str(share))) for colour, share in stored]


def _reduced(colours: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> list[Colour]:
    """Put colours into bins, and take the heaviest bins that are far enough apart."""
    parts = colours.astype(np.int64) >> (8 - BIN_BITS)
    bins = (parts[:, 0] << (2 * BIN_BITS)) | (parts[:, 1] << BIN_BITS) | parts[:, 2]
    size = 1 << (3 * BIN_BITS)
    mass = np.bincount(bins, weights=weights, minlength=size)
    sums = np.stack(
        [np.bincount(bins, weights=weights * colours[:, i], minlength=size) for i in range(3)],
        axis=1,
    )
    order = np.argsort(-mass, kind="stable")
    order = order[mass[order] > 0]
    # Python's own numbers: numpy takes longer to begin with three of them than to add thousands.
    centres = (sums[order] / mass[order, None]).tolist()
    means: list[list[float]] = []
    shares: list[float] = []
    for mean, weight in zip(centres, mass[order].tolist(), strict=True):
        distances = [math.dist(mean, other) for other in means]
        nearest = min(distances, default=math.inf)
        if nearest < LEAST_DISTANCE:
            shares[distances.index(nearest)] += weight
        elif len(means) < COLOURS:
            means.append(mean)
            shares.append(weight)
    pairs = sorted(zip(shares, (_hex(mean) for mean in means), strict=True), reverse=True)
    return [Colour(name, min(1.0, share)) for share, name in pairs if share >= LEAST_SHARE]


def _hex(rgb: Sequence[float]) -> str:
    red, green, blue = map(round, rgb)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _rgb(text: str) -> list[float]:
    return [float(int(text[start : start + 2], 16)) for start in (1, 3, 5)]
