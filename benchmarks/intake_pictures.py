"""Pictures for the intake benchmark: drawn, or copied, no two of the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as Picture

STICKER_PX = 224
PHOTO_PX = (500, 375)
LARGE_PX = (4_000, 3_000)
DIFFERENT_LARGE = 8
"""Twelve megapixels take seconds to draw; the others are these with a comment of their own."""
COMMENT = b"\xff\xfe"
"""The marker of a JPEG's comment, which follows the two bytes that begin the file."""


def drawn(kind: str, folder: Path, count: int) -> list[Path]:
    """Draw so many pictures of a kind, "stickers", "photos" or "12mp", into a folder."""
    folder.mkdir(parents=True)
    return KINDS[kind](folder, count)


def copied(source: Path, folder: Path, count: int) -> list[Path]:
    """Copy the JPEGs of a folder into another, again and again until there are so many."""
    originals = sorted(
        path for path in source.iterdir() if path.suffix.lower() in (".jpg", ".jpeg")
    )
    if not originals:
        raise SystemExit(f"{source} holds no JPEG.")
    folder.mkdir(parents=True)
    return [
        _with_comment(originals[number % len(originals)].read_bytes(), folder, number)
        for number in range(count)
    ]


def _stickers(folder: Path, count: int) -> list[Path]:
    # Other ones with another count: those that warm up are not known afterwards.
    random = np.random.default_rng([7, count])
    paths = []
    for number in range(count):
        coarse = random.integers(0, 256, (7, 7, 4), dtype=np.uint8)
        sticker = Picture.fromarray(coarse, "RGBA").resize((STICKER_PX, STICKER_PX))
        paths.append(folder / f"{number:05}.png")
        sticker.save(paths[-1])
    return paths


def _photos(folder: Path, count: int) -> list[Path]:
    paths = []
    for number in range(count):
        paths.append(folder / f"{number:05}.jpg")
        _photograph(number, PHOTO_PX).save(paths[-1], quality=90)
    return paths


def _large(folder: Path, count: int) -> list[Path]:
    different = min(count, DIFFERENT_LARGE)
    base = folder.parent / "large.jpg"
    drawn_ones = []
    for number in range(different):
        _photograph(number, LARGE_PX).save(base, quality=90)
        drawn_ones.append(base.read_bytes())
    base.unlink()
    return [
        _with_comment(drawn_ones[number % different], folder, number) for number in range(count)
    ]


def _photograph(seed: int, size: tuple[int, int]) -> Picture.Image:
    """Draw a picture with about as many bytes as a camera's: blotches with fine detail on them."""
    random = np.random.default_rng(seed)
    whole = np.zeros((size[1], size[0], 3), dtype=np.float32)
    for parts, weight in ((6, 0.55), (24, 0.3), (size[0] // 4, 0.15)):
        rows = max(2, parts * size[1] // size[0])
        coarse = Picture.fromarray(random.integers(0, 256, (rows, parts, 3), dtype=np.uint8))
        whole += weight * np.asarray(coarse.resize(size, Picture.Resampling.BICUBIC))
    return Picture.fromarray(whole.astype(np.uint8))


def _with_comment(jpeg: bytes, folder: Path, number: int) -> Path:
    text = f"copy {number}".encode()
    path = folder / f"{number:05}.jpg"
    path.write_bytes(jpeg[:2] + COMMENT + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:])
    return path


KINDS: dict[str, Callable[[Path, int], list[Path]]] = {
    "stickers": _stickers,
    "photos": _photos,
    "12mp": _large,
}
