"""How thumbnails are written, and one made of pixels that were decoded before."""

from __future__ import annotations

import io

from PIL import Image

from mirada.kernel.images import RgbImage

WEBP_QUALITY = 82
WEBP_METHOD = 2
"""Measured on photographs (research, ecosystem): method 1 takes 9 ms, method 4 takes 19 ms."""
REDUCING_GAP = 2.0
"""Resizing from twice the size shows no visible loss."""


def written(image: Image.Image) -> bytes:
    """Return a picture as a WebP."""
    out = io.BytesIO()
    image.save(out, "WEBP", quality=WEBP_QUALITY, method=WEBP_METHOD)
    return out.getvalue()


def of_pixels(pixels: RgbImage, max_side_px: int) -> bytes:
    """Return a WebP of (h, w, 3) pixels, at most `max_side_px` on its longer side."""
    image = Image.fromarray(pixels)
    image.thumbnail((max_side_px, max_side_px), reducing_gap=REDUCING_GAP)
    return written(image)
