"""Makes pictures for people who never name their style: the demo's stickers, some of them altered."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from benchmarks.demo_set import demo_pictures
from benchmarks.styles_set import Person
from mirada.kernel.embeddings import Matrix

Filter = Callable[[Image.Image], Image.Image]


def _toned(dark: str, light: str) -> Filter:
    return lambda picture: ImageOps.colorize(ImageOps.grayscale(picture), dark, light)


def _pixelated(picture: Image.Image) -> Image.Image:
    small = picture.resize((14, 14), Image.Resampling.BILINEAR)
    return small.resize(picture.size, Image.Resampling.NEAREST)


LOOKS: dict[str, tuple[Filter, ...]] = {
    "a": (_toned("#2b1700", "#f2dcb0"), ImageOps.invert, _pixelated),
    "b": (
        _toned("#00104a", "#9fd0ff"),
        lambda picture: ImageOps.invert(picture.convert("RGB").filter(ImageFilter.FIND_EDGES)),
        lambda picture: ImageOps.solarize(picture, 96),
    ),
}
"""Sepia, negative, coarse pixels; blue tones, outlines, solarised. No prompt says so."""


def with_pictures(
    people: Sequence[Person], pool: str, seed: int, encode: Callable[[Sequence[np.ndarray]], Matrix]
) -> list[Matrix]:
    """Return (prompts, d) unit rows for each person: a random sticker for each of their prompts."""
    rng = random.Random(f"looks {pool}:{seed}")
    stickers = demo_pictures()
    plain = encode(stickers)
    found = []
    for person in people:
        drawn = [rng.randrange(len(stickers)) for _ in person.prompts]
        rows = plain[drawn].copy()
        for planted in person.planted:
            if planted.kind == "look":
                look = rng.choice(LOOKS[pool])
                places = sorted(planted.members)
                shown = [look(Image.fromarray(stickers[drawn[place]])) for place in places]
                rows[places] = encode([np.asarray(one.convert("RGB")) for one in shown])
        found.append(rows)
    return found
