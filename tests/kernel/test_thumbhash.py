"""ThumbHash: the bytes of the reference from the same pixels."""

from __future__ import annotations

import base64
from collections.abc import Callable

import numpy as np
import pytest

from mirada.kernel.thumbhash import thumbhash

Pixel = Callable[[int, int, int, int], tuple[int, int, int, int]]
DRAWN: dict[str, Pixel] = {
    "waves": lambda x, y, w, h: (
        (x * 7 + y * 3) % 256,
        (x * x + y * 5) % 256,
        (x * 2 + y * y) % 256,
        255,
    ),
    "clear": lambda x, y, w, h: (
        (x * 9) % 256,
        (y * 11) % 256,
        (x * y) % 256,
        (x * 4 + y * 6) % 256,
    ),
    "sticker": lambda x, y, w, h: (
        ((250 - x) % 256, (y * 3) % 256, 30, 255)
        if (x - w / 3) ** 2 + (y - h / 2) ** 2 < (w / 4) ** 2
        else (0, 0, 0, 0)
    ),
    "white": lambda x, y, w, h: (255, 255, 255, 255),
    "nothing": lambda x, y, w, h: (0, 0, 0, 0),
}
# Of pictures where nothing is even: a term of 0 is rounded by the last bit of sums in another order.
# What thumbhash 0.1.1 (JavaScript, by its author) answers for these pixels.
KNOWN = [
    ("waves", 64, 48, "HwgGDYKVI2kzBHpjpUl2df2cLI9W"),
    ("waves", 30, 100, "H/gFCgSEZmOAUXRVeF8s+Gk="),
    ("waves", 1, 40, "VbcpKRQIhXqIh4eH94N9v4g="),
    ("waves", 100, 100, "H/gBDwJSc3IoWQsFNAISRENV9ptcZY8E"),
    ("clear", 64, 48, "HviFDIYXRSSkeHYJdyPPRF9qh3cpd1BnBw=="),
    ("clear", 20, 60, "mseFCggXYHh4Sjn2nAp3qHZ3aHdQGMo="),
    ("sticker", 50, 40, "m1uDBIIkqVdSunj2mwqEqb/XIneHCKSIBw=="),
    ("sticker", 50, 50, "3DuDBQAjmVdkqXj2e7pAqPt7PHN3iECKmA=="),
]


@pytest.mark.parametrize(("name", "width", "height", "expected"), KNOWN)
def test_it_is_what_the_reference_makes(name: str, width: int, height: int, expected: str) -> None:
    rgba = np.array(
        [[DRAWN[name](x, y, width, height) for x in range(width)] for y in range(height)]
    )
    alpha = rgba[..., 3] / 255
    made = thumbhash(rgba[..., :3] / 255 * alpha[..., None], alpha)
    assert base64.b64encode(made).decode() == expected
    if alpha.all():
        assert thumbhash(rgba[..., :3] / 255, None) == made


@pytest.mark.parametrize("name", ["white", "nothing"])
@pytest.mark.parametrize("size", [(1, 1), (1, 64), (64, 1), (100, 100)])
def test_the_plainest_pictures_have_one(name: str, size: tuple[int, int]) -> None:
    rgba = np.array([[DRAWN[name](x, y, *size) for x in range(size[0])] for y in range(size[1])])
    alpha = rgba[..., 3] / 255
    made = thumbhash(rgba[..., :3] / 255 * alpha[..., None], alpha)
    assert 5 <= len(made) <= 25
