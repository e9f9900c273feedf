"""ThumbHash: a picture in 25 bytes, blurred, to be shown before the picture is there.

A port of `rgbaToThumbHash` of https://github.com/evanw/thumbhash (MIT, Evan Wallace): the same bytes from
the same pixels.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
MAX_SIDE_PX = 100


def thumbhash(premultiplied: Floats, alpha: Floats | None) -> bytes:
    """Return the hash of a picture, at most 25 bytes.

    Args:
        premultiplied: (h, w, 3) sRGB in [0, 1] times alpha; 1 to MAX_SIDE_PX on each side.
        alpha: (h, w) in [0, 1]; None for an opaque picture.
    """
    height, width = premultiplied.shape[:2]
    has_alpha = alpha is not None and float(alpha.sum()) < alpha.size
    rgb = premultiplied
    if alpha is not None and has_alpha:
        # On its mean colour, which what is transparent takes.
        mean = premultiplied.sum(axis=(0, 1)) / max(float(alpha.sum()), 1e-12)
        rgb = premultiplied + mean * (1 - alpha)[..., None]
    limit, longer = (5 if has_alpha else 7), max(width, height)
    lx, ly = (max(1, _rounded(limit * side / longer)) for side in (width, height))
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    l_dc, l_ac, l_scale = _encoded((red + green + blue) / 3, max(3, lx), max(3, ly))
    p_dc, p_ac, p_scale = _encoded((red + green) / 2 - blue, 3, 3)
    q_dc, q_ac, q_scale = _encoded(red - green, 3, 3)
    is_landscape = width > height
    first = _rounded(63 * l_dc) | _rounded(31.5 + 31.5 * p_dc) << 6
    first |= _rounded(31.5 + 31.5 * q_dc) << 12 | _rounded(31 * l_scale) << 18 | has_alpha << 23
    second = (ly if is_landscape else lx) | _rounded(63 * p_scale) << 3
    second |= _rounded(63 * q_scale) << 9 | is_landscape << 15
    head: bytes = first.to_bytes(3, "little") + second.to_bytes(2, "little")
    varying = l_ac + p_ac + q_ac
    if alpha is not None and has_alpha:
        a_dc, a_ac, a_scale = _encoded(alpha, 5, 5)
        head += bytes([_rounded(15 * a_dc) | _rounded(15 * a_scale) << 4])
        varying += a_ac
    nibbles = [_rounded(15 * value) for value in varying]
    nibbles += [0] * (len(nibbles) % 2)
    pairs = zip(nibbles[::2], nibbles[1::2], strict=True)
    return head + bytes(low | high << 4 for low, high in pairs)


def _encoded(channel: Floats, nx: int, ny: int) -> tuple[float, list[float], float]:
    """Return the mean of a channel, what varies in it scaled to [0, 1], and that scale."""
    height, width = channel.shape
    terms = _waves(ny, height) @ channel @ _waves(nx, width).T / channel.size
    kept = [terms[cy, cx] for cy in range(ny) for cx in range(nx) if cx * ny < nx * (ny - cy)]
    mean, *varying = map(float, kept)
    scale = max(map(abs, varying))
    return mean, [0.5 + 0.5 / scale * term for term in varying] if scale else varying, scale


@lru_cache(512)
def _waves(count: int, size: int) -> Floats:
    at = np.arange(size) + 0.5
    return np.cos(np.pi / size * np.outer(np.arange(count), at))


def _rounded(value: float) -> int:
    # As JavaScript rounds: halves up.
    return math.floor(value + 0.5)
