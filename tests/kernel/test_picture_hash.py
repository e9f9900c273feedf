"""Perceptual hashes: what stays the same picture, and what does not."""

from __future__ import annotations

import io
import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw, ImageOps

from mirada.kernel.images import Seen
from mirada.kernel.picture_hash import HASH_BYTES, Hashes, hashes_of, picture_hash
from mirada.kernel.same_picture import same_pictures
from testing.deployment import ROOT
from testing.pictures import pixels

DEMO = ROOT / "demo"


def seen(image: Pillow.Image) -> Seen:
    """Return a picture as the decoder gives it: on white, its opacity beside it."""
    if image.mode != "RGBA":
        return Seen(np.asarray(image.convert("RGB")))
    ground = Pillow.new("RGBA", image.size, (255, 255, 255, 255))
    shown = Pillow.alpha_composite(ground, image).convert("RGB")
    return Seen(np.asarray(shown), np.asarray(image.getchannel("A")))


def hashes(*images: Pillow.Image) -> Hashes:
    return hashes_of([picture_hash(seen(image)) for image in images])


def pairs(ones: Hashes, others: Hashes) -> set[tuple[int, int, bool]]:
    found: set[tuple[int, int, bool]] = set()
    for piece in same_pictures(ones, others):
        columns: Any = (piece.some, piece.others, piece.mirrored)
        found |= set(zip(*(column.tolist() for column in columns), strict=True))
    return found


def is_same(one: Pillow.Image, other: Pillow.Image) -> bool:
    return bool(pairs(hashes(one), hashes(other)))


def saved(image: Pillow.Image, fmt: str, **options: Any) -> Pillow.Image:
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return Pillow.open(out)


def figure(colour: tuple[int, int, int], *, is_wide: bool = False) -> Pillow.Image:
    """Return a figure on what is transparent."""
    drawn = Pillow.new("RGBA", (200, 200))
    draw = ImageDraw.Draw(drawn)
    if is_wide:
        draw.rectangle((10, 90, 190, 150), (*colour, 255))
        draw.polygon([(20, 90), (60, 30), (100, 90)], (*colour, 255))
    else:
        draw.ellipse((50, 20, 120, 190), (*colour, 255))
        draw.rectangle((110, 120, 190, 180), (*colour, 255))
    return drawn


ORIGINAL = pixels(5, (320, 240))
COPIES = {
    "smaller": ORIGINAL.resize((96, 72), Pillow.Resampling.LANCZOS),
    "larger": ORIGINAL.resize((500, 375), Pillow.Resampling.BICUBIC),
    "squeezed": ORIGINAL.resize((200, 240), Pillow.Resampling.BICUBIC),
    "poor JPEG": saved(ORIGINAL, "JPEG", quality=20),
    "WebP": saved(ORIGINAL, "WEBP", quality=40),
    "lighter": ORIGINAL.point([min(255, level + 8) for level in range(256)] * 3),
    "mirrored": ImageOps.mirror(ORIGINAL),
    "mirrored JPEG": saved(ImageOps.mirror(ORIGINAL), "JPEG", quality=50),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_the_same_picture(name: str) -> None:
    found = pairs(hashes(ORIGINAL), hashes(COPIES[name]))
    assert found == {(0, 0, name.startswith("mirrored"))}


@cache
def stickers() -> list[Pillow.Image]:
    """Return the demo's stickers; many of them are symmetric."""
    book = json.loads((DEMO / "stickers.json").read_text(encoding="utf-8"))["stickers"]
    return [Pillow.open(DEMO / each["file"]).convert("RGBA") for each in book]


@pytest.mark.parametrize(
    "way", ["smaller", "larger", "WebP 90", "WebP 60", "WebP 30", "JPEG 30 on white"]
)
def test_copies_of_stickers_are_the_same_however_symmetric_they_are(way: str) -> None:
    """Half the terms of a face are nearly nothing; compression turned their signs."""
    some = stickers()[::10]

    def copied(image: Pillow.Image) -> Pillow.Image:
        if way == "smaller":
            return image.resize((80, 80), Pillow.Resampling.BICUBIC)
        if way == "larger":
            return image.resize((320, 320), Pillow.Resampling.BICUBIC)
        if way.startswith("WebP"):
            return saved(image, "WEBP", quality=int(way[-2:])).convert("RGBA")
        ground = Pillow.new("RGBA", image.size, (255, 255, 255, 255))
        return saved(Pillow.alpha_composite(ground, image).convert("RGB"), "JPEG", quality=30)

    found = pairs(hashes(*some), hashes(*map(copied, some)))
    lone = {place for place in range(len(some)) if (place, place) not in {one[:2] for one in found}}
    assert lone == set()


def test_no_sticker_is_another_one() -> None:
    many = hashes(*stickers())
    assert {(one, other) for one, other, _ in pairs(many, many) if one != other} == set()


@pytest.mark.parametrize(
    "changed",
    [
        ImageOps.invert(ORIGINAL),
        ImageOps.flip(ORIGINAL),
        ORIGINAL.rotate(90, expand=True),
        Pillow.merge("RGB", ORIGINAL.split()[::-1]),
        ORIGINAL.crop((0, 0, 200, 240)),
    ],
)
def test_what_is_changed_much_is_another_picture(changed: Pillow.Image) -> None:
    assert not is_same(ORIGINAL, changed)


def test_of_two_hundred_pictures_none_is_another() -> None:
    many = hashes(*(pixels(seed, (96, 72)) for seed in range(200)))
    assert {(one, other) for one, other, _ in pairs(many, many) if one != other} == set()
    assert {(one, one, False) for one in range(200)} <= pairs(many, many)


def test_the_mirror_image_has_the_hash_that_is_computed_of_the_picture() -> None:
    """Where a term tells something; the sign of one that is nearly nothing is chance."""
    mirrored, computed = hashes(ImageOps.mirror(ORIGINAL)), hashes(ORIGINAL).mirrored()
    apart = (mirrored.brightness ^ computed.brightness) & computed.brightness_told
    assert np.bitwise_count(apart).sum() == 0
    assert mirrored.opacity_contrast.tolist() == [0]
    assert np.abs(mirrored.colours.astype(int) - computed.colours.astype(int)).max() <= 1


@pytest.mark.parametrize("shade", [(255, 255, 255), (10, 10, 10), (128, 128, 128)])
def test_flat_pictures_are_like_nothing(shade: tuple[int, int, int]) -> None:
    flat = Pillow.new("RGB", (64, 64), shade)
    assert not is_same(flat, flat)
    assert not is_same(flat, Pillow.new("RGB", (64, 64), (250, 250, 250)))


def test_white_figures_on_nothing_are_told_apart_by_their_outline() -> None:
    white, wide = figure((255, 255, 255)), figure((255, 255, 255), is_wide=True)
    assert is_same(white, white.resize((120, 120)))
    assert not is_same(white, wide)


def test_a_figure_is_the_same_on_nothing_and_on_white() -> None:
    red = figure((200, 30, 40))
    on_white = Pillow.alpha_composite(Pillow.new("RGBA", red.size, (255, 255, 255, 255)), red)
    assert is_same(red, saved(on_white.convert("RGB"), "JPEG", quality=40))
    assert not is_same(red, figure((200, 30, 40), is_wide=True))
    assert not is_same(red, figure((30, 40, 200)))


def test_a_hash_has_its_length_whatever_the_shape() -> None:
    for size in ((1, 1), (1, 900), (900, 1), (64, 64), (65, 63)):
        hashed = picture_hash(Seen(np.zeros((size[1], size[0], 3), np.uint8)))
        assert len(hashed) == HASH_BYTES == 130
    assert len(hashes_of([])) == 0
