"""How pictures look: has_alpha, placeholder, colour and lightness, from what the encoder gets."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw

from mirada.adapters.image_decoder.sandbox import SandboxedDecoder
from mirada.db.models import Content
from mirada.embedding.looks import Look, look_of
from mirada.kernel.images import Seen


def plain(*rgb: int, size: tuple[int, int] = (40, 30)) -> Seen:
    return Seen(np.full((size[1], size[0], 3), rgb, np.uint8))


def sticker(mode: str = "RGBA", clear: int = 0) -> Pillow.Image:
    """Return a red disc on what is transparent."""
    drawn = Pillow.new("RGBA", (400, 300), (0, 0, 0, clear))
    ImageDraw.Draw(drawn).ellipse((100, 50, 300, 250), fill=(220, 47, 69, 255))
    return drawn.convert(mode)


def saved(path: Path, image: Pillow.Image, fmt: str = "PNG", **options: Any) -> Path:
    image.save(path, fmt, **options)
    return path


@pytest.mark.parametrize(
    ("rgb", "colour", "lightness"),
    [
        ((255, 255, 255), "#ffffff", 1.0),
        ((0, 0, 0), "#000000", 0.0),
        # https://bottosson.github.io/posts/oklab/ for sRGB red; grey 119 is Oklab 0.5692.
        ((255, 0, 0), "#ff0000", 0.628),
        ((119, 119, 119), "#777777", 0.569),
    ],
)
def test_plain_colours_are_what_they_are(
    rgb: tuple[int, int, int], colour: str, lightness: float
) -> None:
    look = look_of(plain(*rgb))
    assert (look.has_alpha, look.colour) == (False, colour)
    assert look.lightness == pytest.approx(lightness, abs=0.001)


def test_noise_has_a_colour(monkeypatch: Any) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    monkeypatch.setattr("mirada.embedding.palette.LEAST_SHARE", 0.9)
    colour = look_of(Seen(noise)).colour
    mean = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    assert mean == np.rint(noise.reshape(-1, 3).mean(axis=0)).tolist()


def test_what_is_transparent_counts_for_nothing(tmp_path: Path) -> None:
    decoder = SandboxedDecoder(pool_size=1)
    try:
        seen = decoder.see(saved(tmp_path / "a.png", sticker()), 100)
        opaque = decoder.see(saved(tmp_path / "b.png", sticker("RGB")), 100, 64)
        hidden = decoder.see(saved(tmp_path / "c.png", sticker(clear=254)), 100)
        paletted = decoder.see(saved(tmp_path / "d.gif", sticker(), "GIF"), 100)
    finally:
        decoder.close()
    assert seen.opacity is not None
    assert seen.opacity.shape == seen.pixels.shape[:2] == (100, 134)
    assert (seen.opacity[0, 0], seen.opacity[50, 66]) == (0, 255)
    assert seen.thumbnail == b""
    look = look_of(seen)
    assert (look.has_alpha, look.colour) == (True, "#dc2f45")
    assert look.lightness == pytest.approx(look_of(plain(220, 47, 69)).lightness, abs=0.01)
    assert base64.b64decode(look.placeholder)[2] & 0x80
    # On white, as the encoder sees it.
    assert look.palette[0].hex == "#ffffff"
    assert opaque.opacity is None
    assert Pillow.open(io.BytesIO(opaque.thumbnail)).size == (64, 48)
    assert not look_of(opaque).has_alpha
    # The lowest bit of opacity holds texts of generators, and copies have none of it.
    assert hidden.opacity is None
    assert look_of(paletted).has_alpha


def test_a_picture_of_nothing_has_a_look() -> None:
    white = np.full((30, 40, 3), 255, np.uint8)
    look = look_of(Seen(white, np.zeros((30, 40), np.uint8)))
    assert (look.has_alpha, look.colour, look.lightness) == (True, "#ffffff", 1.0)


@pytest.mark.parametrize("size", [(1, 1), (1, 5_000), (5_000, 1), (64, 65)])
def test_every_shape_has_a_look(size: tuple[int, int]) -> None:
    seen = plain(10, 200, 30, size=size)
    for opacity in (None, np.full((size[1], size[0]), 128, np.uint8)):
        look = look_of(Seen(seen.pixels, opacity))
        assert look.colour == "#0ac81e" if opacity is None else look.has_alpha
        assert 5 <= len(base64.b64decode(look.placeholder)) <= 25


def test_the_columns_are_those_of_a_content() -> None:
    look = look_of(plain(1, 2, 3))
    assert isinstance(look, Look)
    assert set(look.columns()) <= set(Content.__table__.c.keys())
