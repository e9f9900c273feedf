"""When two pictures count as the same one, by their perceptual hashes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.kernel.picture_hash import Hashes

MOST_BITS = 40
"""Of 256 that may differ. Of the measured copies that were not cut 9 differ at most, of 2,000 strangers
52 at least (docs/duplicates.md)."""
MOST_COARSE_BITS = 20
"""Of the first 64, which are the coarsest: they are compared first, and alone tell most strangers."""
MOST_COLOUR = 12.0
"""Mean difference of the colours of sixteen fields, of 255 levels: a recoloured picture is another."""
MOST_OPACITY_BITS = 16
"""Of 64, where both are transparent: much more transparent is another shape."""
MOST_OUTLINE_BITS = 4
"""Of 64 where nothing but the outline tells, as of white figures on nothing."""
LEAST_CONTRAST = 6
"""Standard deviation, of 255 levels: the hash of a flatter picture is noise."""
BLOCK_ROWS = 32
"""Rows that are compared with all others at once: 26 MB with 100,000 others."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SamePictures:
    """Pairs that are the same picture.

    Attributes:
        some, others: (m,) rows; row some[i] of the ones is the same picture as row others[i].
        bits: (m,) of 256 that differ.
        mirrored: (m,) bool, whether one is the other's mirror image.
    """

    some: Rows
    others: Rows
    bits: Rows
    mirrored: npt.NDArray[np.bool_]


def same_pictures(ones: Hashes, others: Hashes) -> Iterator[SamePictures]:
    """Yield the pairs of one and another that are the same picture, upright or mirrored, in pieces.

    A picture that is in both is paired with itself. A symmetric picture is its own mirror image; it
    comes twice.
    """
    for is_mirrored in (False, True):
        turned = ones.mirrored() if is_mirrored else ones
        for start in range(0, len(ones), BLOCK_ROWS):
            yield _compared(turned, start, others, is_mirrored)


def _compared(ones: Hashes, start: int, others: Hashes, is_mirrored: bool) -> SamePictures:
    block = ones[slice(start, start + BLOCK_ROWS)]
    coarse = np.bitwise_count(block.brightness[:, :1] ^ others.brightness[:, 0])
    near, far = np.nonzero(coarse <= MOST_COARSE_BITS)
    bits = _bits(block.brightness[near] ^ others.brightness[far])
    is_close = bits <= MOST_BITS
    outlines = _outlines(block, others)
    near, far, bits = near[is_close], far[is_close], bits[is_close]
    is_same = _is_same(block[near], others[far])
    some = np.concatenate([near[is_same], outlines[0]]) + start
    with_outlines = np.concatenate([bits[is_same], np.zeros(len(outlines[0]), np.int64)])
    mirrored = np.full(len(some), is_mirrored)
    return SamePictures(some, np.concatenate([far[is_same], outlines[1]]), with_outlines, mirrored)


def _is_same(ones: Hashes, others: Hashes) -> npt.NDArray[np.bool_]:
    """Return which pairs (row by row) are the same beside the bits of their brightness."""
    tells = (ones.contrast >= LEAST_CONTRAST) & (others.contrast >= LEAST_CONTRAST)
    is_clear = (ones.opacity_contrast >= LEAST_CONTRAST) & (
        others.opacity_contrast >= LEAST_CONTRAST
    )
    fits = np.bitwise_count(ones.opacity ^ others.opacity) <= MOST_OPACITY_BITS
    same: npt.NDArray[np.bool_] = tells & (fits | ~is_clear) & (_apart(ones, others) <= MOST_COLOUR)
    return same


def _outlines(block: Hashes, others: Hashes) -> tuple[Rows, Rows]:
    """Return the pairs of pictures that are flat but for their outlines, and have the same one."""
    ones, rest = _flat(block), _flat(others)
    bits = np.bitwise_count(block.opacity[ones][:, None] ^ others.opacity[rest])
    near, far = np.nonzero(bits <= MOST_OUTLINE_BITS)
    near, far = ones[near], rest[far]
    is_same = _apart(block[near], others[far]) <= MOST_COLOUR
    return near[is_same], far[is_same]


def _flat(hashes: Hashes) -> Rows:
    is_flat = (hashes.contrast < LEAST_CONTRAST) & (hashes.opacity_contrast >= LEAST_CONTRAST)
    return np.flatnonzero(is_flat)


def _apart(ones: Hashes, others: Hashes) -> npt.NDArray[np.float64]:
    apart = np.abs(ones.colours.astype(np.int16) - others.colours.astype(np.int16))
    means: npt.NDArray[np.float64] = apart.mean(axis=(1, 2, 3))
    return means


def _bits(words: npt.NDArray[np.uint64]) -> Rows:
    counts: Rows = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    return counts
