"""When two pictures count as the same one, by their perceptual hashes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.kernel.picture_hash import Hashes

MOST_APART = 0.025
"""Part of the terms that tell something in both pictures whose signs may differ. Of 2,700 copies of stickers
at most 0.006 did, of their strangers at least 0.033 (docs/duplicates.md)."""
MOST_UNLIKE = 51
"""Of 256 terms, those that may tell something in one picture alone. Of the copies at most 28 did."""
LEAST_TOLD = 24
"""Of 256 terms, those that have to tell something in both."""
MOST_COARSE_APART = 2
"""Of the first 64 terms, which are the coarsest: they are compared first, and alone tell most strangers."""
MOST_COLOUR = 12.0
"""Mean difference of the colours of sixteen fields, of 255 levels: a recoloured picture is another."""
MOST_OPACITY_APART, MOST_OPACITY_UNLIKE = 2, 16
"""Of 64, where both are transparent: much more transparent is another shape."""
MOST_OUTLINE_APART, MOST_OUTLINE_UNLIKE = 0, 10
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
        bits: (m,) of 256 that tell something in both, and differ.
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
    coarse = block.brightness[:, :1] ^ others.brightness[:, 0]
    coarse &= block.brightness_told[:, :1]
    coarse &= others.brightness_told[:, 0]
    near, far = np.nonzero(np.bitwise_count(coarse) <= MOST_COARSE_APART)
    bits, in_both, unlike = differences(block[near], others[far])
    is_close = (bits <= MOST_APART * in_both) & (in_both >= LEAST_TOLD) & (unlike <= MOST_UNLIKE)
    outlines = _outlines(block, others)
    near, far, bits = near[is_close], far[is_close], bits[is_close]
    is_same = _is_same(block[near], others[far])
    some = np.concatenate([near[is_same], outlines[0]]) + start
    with_outlines = np.concatenate([bits[is_same], np.zeros(len(outlines[0]), np.int64)])
    mirrored = np.full(len(some), is_mirrored)
    return SamePictures(some, np.concatenate([far[is_same], outlines[1]]), with_outlines, mirrored)


def differences(ones: Hashes, others: Hashes) -> tuple[Rows, Rows, Rows]:
    """Return how the terms of brightness of pairs (row by row) differ.

    Returns:
        Of each pair, (n,) each: the terms that tell something in both and have other signs, all that tell
        something in both, and those that tell something in one alone.
    """
    told, rest = ones.brightness_told, others.brightness_told
    signs = (ones.brightness ^ others.brightness) & told & rest
    return _bits(signs), _bits(told & rest), _bits(told ^ rest)


def _is_same(ones: Hashes, others: Hashes) -> npt.NDArray[np.bool_]:
    """Return which pairs (row by row) are the same beside the bits of their brightness."""
    tells = (ones.contrast >= LEAST_CONTRAST) & (others.contrast >= LEAST_CONTRAST)
    is_clear = (ones.opacity_contrast >= LEAST_CONTRAST) & (
        others.opacity_contrast >= LEAST_CONTRAST
    )
    fits = _fits(ones, others, MOST_OPACITY_APART, MOST_OPACITY_UNLIKE)
    same: npt.NDArray[np.bool_] = tells & (fits | ~is_clear) & (_apart(ones, others) <= MOST_COLOUR)
    return same


def _outlines(block: Hashes, others: Hashes) -> tuple[Rows, Rows]:
    """Return the pairs of pictures that are flat but for their outlines, and have the same one."""
    ones, rest = _flat(block), _flat(others)
    apart = block.opacity[ones][:, None] ^ others.opacity[rest]
    apart &= block.opacity_told[ones][:, None]
    apart &= others.opacity_told[rest]
    near, far = np.nonzero(np.bitwise_count(apart) <= MOST_OUTLINE_APART)
    near, far = ones[near], rest[far]
    is_same = _apart(block[near], others[far]) <= MOST_COLOUR
    is_same &= _fits(block[near], others[far], MOST_OUTLINE_APART, MOST_OUTLINE_UNLIKE)
    return near[is_same], far[is_same]


def _fits(ones: Hashes, others: Hashes, apart: int, unlike: int) -> npt.NDArray[np.bool_]:
    """Return which pairs (row by row) have the same outline, but for so many terms."""
    signs = (ones.opacity ^ others.opacity) & ones.opacity_told & others.opacity_told
    told = ones.opacity_told ^ others.opacity_told
    fits: npt.NDArray[np.bool_] = np.bitwise_count(signs) <= apart
    fits &= np.bitwise_count(told) <= unlike
    return fits


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
