"""A perceptual hash: few bytes that stay much the same when a picture is scaled, compressed or trimmed.

The bits are signs of the lowest terms of a cosine transform of the picture's brightness, as in pHash and
PDQ. A second bit says of each term whether it is large enough to tell anything. Half the terms of a symmetric
picture, as of a face, are nearly nothing, and compression turns their signs at will. A mirrored picture has
the same terms with the odd columns negated, so its hash follows from the picture's own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mirada.kernel.images import Seen

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]

SIDE_PX = 64
"""The picture is averaged down to so many pixels a side first, whatever its shape."""
TERMS, OPACITY_TERMS = 16, 8
"""Of each direction: 256 bits of brightness, and 64 of opacity."""
GRID = 4
"""Mean colours are kept of so many fields a side."""
HASH_BYTES = 2 * (TERMS * TERMS // 8 + OPACITY_TERMS * OPACITY_TERMS // 8) + 2 + GRID * GRID * 3
"""A hash as the database keeps it: brightness, opacity, contrast of both, colours."""
LEAST_TERM = 400.0
"""Of a term that tells something, as large as of a wave of 0.4 of 255 levels over the whole picture. Scaling
and compression move terms by 40 to 260 (standard deviation; docs/duplicates.md)."""
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, slots=True)
class Hashes:
    """The hashes of n pictures, as arrays.

    Attributes:
        brightness, brightness_told: (n, 4) uint64, signs of terms, and which of them tell something.
        opacity, opacity_told: (n,) uint64, likewise.
        contrast, opacity_contrast: (n,) uint8, the standard deviations of both, 0 to 128; an opaque
            picture has no contrast in its opacity.
        colours: (n, GRID, GRID, 3) uint8 on white.
    """

    brightness: Words
    brightness_told: Words
    opacity: Words
    opacity_told: Words
    contrast: npt.NDArray[np.uint8]
    opacity_contrast: npt.NDArray[np.uint8]
    colours: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        """Return n."""
        return len(self.brightness)

    def __getitem__(self, rows: object) -> Hashes:
        """Return the hashes of some rows; `rows` is what indexes an array and keeps its first axis."""
        return Hashes(*(getattr(self, each.name)[rows] for each in fields(self)))

    def with_more(self, more: Hashes) -> Hashes:
        """Return these hashes and then those."""
        pairs = ((getattr(self, each.name), getattr(more, each.name)) for each in fields(self))
        return Hashes(*(np.concatenate(pair) for pair in pairs))

    def mirrored(self) -> Hashes:
        """Return the hashes of the same pictures, mirrored left to right."""
        return Hashes(
            self.brightness ^ _mirror_mask(TERMS),
            self.brightness_told,
            self.opacity ^ _mirror_mask(OPACITY_TERMS)[0],
            self.opacity_told,
            self.contrast,
            self.opacity_contrast,
            self.colours[:, :, ::-1],
        )


def picture_hash(seen: Seen) -> bytes:
    """Return the hash of a picture, HASH_BYTES long."""
    small = _small(seen.pixels)
    brightness = small @ _LUMA
    if seen.opacity is None:
        opacity = np.full((SIDE_PX, SIDE_PX), 255.0)
    else:
        opacity = _small(seen.opacity[..., None])[..., 0]
    field = SIDE_PX // GRID
    grid = small.reshape(GRID, field, GRID, field, 3).mean(axis=(1, 3))
    contrasts = bytes(min(255, round(float(plane.std()))) for plane in (brightness, opacity))
    colours: bytes = np.rint(grid).clip(0, 255).astype(np.uint8).tobytes()
    return _signs(brightness, TERMS) + _signs(opacity, OPACITY_TERMS) + contrasts + colours


def hashes_of(stored: list[bytes]) -> Hashes:
    """Return hashes as arrays.

    Args:
        stored: of `picture_hash`, each HASH_BYTES long.
    """
    table = np.frombuffer(b"".join(stored), np.uint8).reshape(-1, HASH_BYTES)
    of_brightness, of_opacity = TERMS * TERMS // 8, OPACITY_TERMS * OPACITY_TERMS // 8
    ends = np.cumsum([of_brightness, of_brightness, of_opacity, of_opacity, 1, 1])
    *terms, contrast, opacity_contrast, colours = np.split(table, ends, axis=1)
    words = [np.ascontiguousarray(each).view(np.uint64) for each in terms]
    return Hashes(
        words[0],
        words[1],
        words[2][:, 0],
        words[3][:, 0],
        contrast[:, 0],
        opacity_contrast[:, 0],
        colours.reshape(-1, GRID, GRID, 3),
    )


def _small(pixels: npt.NDArray[np.uint8]) -> Floats:
    """Return the mean of each of SIDE_PX by SIDE_PX fields, (SIDE_PX, SIDE_PX, channels)."""
    height, width, channels = pixels.shape
    lines = _averaging(height) @ pixels.reshape(height, -1).astype(np.float32)
    means: Floats = np.matmul(
        _averaging(width), lines.reshape(SIDE_PX, width, channels), dtype=np.float64
    )
    return means


def _signs(plane: Floats, terms: int) -> bytes:
    """Return the signs of the lowest terms, and then which of them tell something."""
    waves = _waves(terms)
    found = waves @ plane @ waves.T
    # The mean tells how bright a picture is, and not what it shows.
    found[0, 0] = 0.0
    is_told = np.abs(found) >= LEAST_TERM
    packed: bytes = np.packbits([found > 0, is_told], axis=None, bitorder="little").tobytes()
    return packed


@lru_cache(8)
def _mirror_mask(terms: int) -> Words:
    """Return the bits of the odd columns, which mirroring negates."""
    odd = np.zeros((terms, terms), bool)
    odd[:, 1::2] = True
    return np.packbits(odd, bitorder="little").view(np.uint64)


@lru_cache(8)
def _waves(terms: int) -> Floats:
    at = (np.arange(SIDE_PX) + 0.5) * np.pi / SIDE_PX
    waves: Floats = np.cos(np.outer(np.arange(terms), at))
    return waves


@lru_cache(64)
def _averaging(size: int) -> npt.NDArray[np.float32]:
    """Return (SIDE_PX, size) weights: row i averages the i-th of equal parts of a line of pixels."""
    edges = np.arange(SIDE_PX + 1) * size / SIDE_PX
    pixels = np.arange(size)
    starts = np.maximum(edges[:-1, None], pixels)
    ends = np.minimum(edges[1:, None], pixels + 1)
    weights = np.maximum(0.0, ends - starts)
    even: npt.NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(
        np.float32
    )
    return even
