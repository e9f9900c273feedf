"""Small pictures drawn for the tests: the same seed draws the same pixels."""

from __future__ import annotations

import io
import random

import numpy as np
from PIL import Image

EXIF_ORIENTATION = 0x0112
"""EXIF 2.32, table 4: how the camera was held, 1 to 8."""


def pixels(seed: int = 0, size: tuple[int, int] = (64, 48), *, alpha: bool = False) -> Image.Image:
    """Return an RGB (or RGBA) picture of soft coloured blotches, (width, height) as Pillow has it."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    # A hard-edged bar tells left from right and top from bottom.
    image.paste(
        tuple(int(c) for c in random.integers(0, 256, 3)), (0, 0, size[0] // 4, size[1] // 3)
    )
    if alpha:
        mask = Image.fromarray(random.integers(0, 2, (6, 6), dtype=np.uint8) * 255)
        image.putalpha(mask.resize(size, Image.Resampling.NEAREST))
    return image


def picture(
    seed: int = 0,
    fmt: str = "PNG",
    size: tuple[int, int] = (64, 48),
    *,
    orientation: int | None = None,
    alpha: bool = False,
    frames: int = 1,
) -> bytes:
    """Return the bytes of a picture; other seeds give other pictures.

    Args:
        seed: what is drawn.
        fmt: "PNG", "JPEG", "WEBP", "GIF", "BMP" or any other that Pillow writes.
        size: width and height in pixels.
        orientation: EXIF orientation, 1 to 8; None writes no EXIF.
        alpha: with a mask of fully clear and fully opaque squares.
        frames: more than one makes an animation (GIF, WEBP, PNG); frame n is drawn from seed + n.
    """
    first = pixels(seed, size, alpha=alpha)
    options: dict[str, object] = {}
    if orientation is not None:
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = orientation
        options["exif"] = exif
    if frames > 1:
        rest = [pixels(seed + n, size, alpha=alpha) for n in range(1, frames)]
        options |= {"save_all": True, "append_images": rest, "duration": 80, "loop": 0}
    if fmt == "JPEG":
        options["quality"] = 92
    out = io.BytesIO()
    first.save(out, fmt, **options)
    return out.getvalue()


def mutated(data: bytes, random_: random.Random) -> bytes:
    """Return bytes with some of them changed, left out, doubled, or made extreme."""
    made = bytearray(data)
    for _ in range(random_.choice((1, 1, 2, 4, 16))):
        at = random_.randrange(len(made))
        what = random_.randrange(5)
        if what == 0:
            made[at] ^= 1 << random_.randrange(8)
        elif what == 1:
            made[at] = random_.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif what == 2:
            made[at : at + 4] = random_.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
        elif what == 3:
            del made[at : at + random_.choice((1, 4, 30))]
        else:
            part = made[at : at + random_.choice((1, 8, 64))]
            made[at:at] = part
        made = made or bytearray(b"\0")
    return bytes(made)
