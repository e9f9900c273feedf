"""Applies a PNG's transparent colour, tRNS, to every depth of grey and RGB. It runs in the child process.

Pillow compares it with pixels that it has scaled to eight bits: for grey of two, four and sixteen bits,
and RGB of sixteen, it never matches.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageChops, ImageFile

GREY, RGB = 0, 2
"""Colour types with such a colour: PNG 3rd edition, 11.3.1.1."""
LOW_BYTES = "RGB;16L"
"""Pillow's name of a layout that makes it keep the lower byte of each number of a PNG."""


def applied(
    image: Image.Image, marks: Mapping[bytes, bytes], low: Image.Image | None
) -> Image.Image:
    """Return the decoded picture with an alpha band made of its transparent colour, where it has one.

    Args:
        image: decoded; L, 1, I;16 or RGB.
        marks: the PNG's IHDR and tRNS.
        low: what `low_bytes` returned.
    """
    key, depth = _key(marks)
    if key is None:
        return image
    if depth == 16:
        bands, values = (
            _halves(image, low),
            [part for number in key for part in (number >> 8, number & 0xFF)],
        )
    else:
        top = (1 << depth) - 1
        grey_or_rgb = image.convert("L") if image.mode == "1" else image
        bands, values = list(grey_or_rgb.split()), [(number & top) * 255 // top for number in key]
    # A pixel is transparent where every band has its value.
    alpha: Image.Image | None = None
    for band, value in zip(bands, values, strict=True):
        other = band.point([0 if level == value else 255 for level in range(256)])
        alpha = other if alpha is None else ImageChops.lighter(alpha, other)
    assert alpha is not None
    shown = list(bands[::2] if depth == 16 else bands)
    made = Image.merge("LA" if len(shown) == 1 else "RGBA", [*shown, alpha])
    made.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return made


def low_bytes(file: Any, marks: Mapping[bytes, bytes]) -> Image.Image | None:
    """Return the lower bytes of a PNG's RGB of sixteen bits, where `applied` needs them.

    Args:
        file: the picture, from its start.
        marks: the PNG's IHDR and tRNS.
    """
    key, depth = _key(marks)
    if key is None or depth != 16 or len(key) == 1:
        return None
    image = Image.open(file, formats=("PNG",))
    assert isinstance(image, ImageFile.ImageFile)
    image.tile = [tile._replace(args=LOW_BYTES) for tile in image.tile]
    image.load()
    return image


def _key(marks: Mapping[bytes, bytes]) -> tuple[list[int] | None, int]:
    """Return the transparent colour as one number or three, and the bits of each."""
    header, key = marks.get(b"IHDR", b""), marks.get(b"tRNS", b"")
    if len(header) < 10:
        return None, 0
    count = {GREY: 1, RGB: 3}.get(header[9], 0)
    if not count or len(key) < 2 * count:
        return None, 0
    return list(struct.unpack_from(f">{count}H", key)), header[8]


def _halves(image: Image.Image, low: Image.Image | None) -> list[Image.Image]:
    """Return the upper and lower bytes of each band, in turn."""
    if low is not None:
        return [half for pair in zip(image.split(), low.split(), strict=True) for half in pair]
    raw = image.tobytes()
    return [Image.frombytes("L", image.size, raw[at::2]) for at in (1, 0)]
