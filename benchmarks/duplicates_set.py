"""Pictures drawn by a seed to measure duplicates on: stickers and scenes, their copies, and strangers.

A sticker is a creature that a few numbers describe, so that it can be drawn in another pose; a scene is
painted with the brushes of the demo's. Beside them stand the demo's own stickers, copied.
"""

from __future__ import annotations

import colorsys
import io
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from dev.draw_scenes import Canvas, Colour, mixed

KINDS = ("scaled", "recompressed", "cropped", "mirrored", "recoloured", "another pose")
COPIES = ("scaled", "recompressed", "cropped", "mirrored")
"""Kinds that are the same picture; the other two show the same subject only."""
BASES, STRANGERS = 80, 2_000
SIDE_PX = 256
DEMO = Path(__file__).resolve().parent.parent / "demo"


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture and a changed one of it, as Pillow has them."""

    base: int
    kind: str
    one: Image.Image
    other: Image.Image


def pairs() -> Iterator[Pair]:
    """Yield BASES pictures with a pair of each kind."""
    for base in range(BASES):
        one = drawn(base)
        for kind in KINDS:
            rng = random.Random(f"{base} {kind}")
            changed = drawn(base, pose=1) if kind == "another pose" else _CHANGES[kind](one, rng)
            yield Pair(base, kind, one, changed)


def strangers() -> Iterator[Image.Image]:
    """Yield STRANGERS pictures, each of something else than any other or than a pair."""
    for seed in range(10_000, 10_000 + STRANGERS):
        yield drawn(seed)


def drawn(seed: int, pose: int = 0) -> Image.Image:
    """Return a picture: a sticker for an even seed, a scene for an odd one."""
    return _sticker(seed, pose) if seed % 2 == 0 else _scene(seed, pose)


def _colour(rng: random.Random, light: tuple[float, float] = (0.35, 0.75)) -> Colour:
    levels = colorsys.hls_to_rgb(rng.random(), rng.uniform(*light), rng.uniform(0.3, 0.9))
    return tuple(round(255 * level) for level in levels)  # type: ignore[return-value]


def _sticker(seed: int, pose: int) -> Image.Image:
    """Draw a creature on nothing; its pose moves limbs, eyes and mouth, and tilts it."""
    rng, moves = random.Random(seed), random.Random(f"{seed} {pose}")
    fine = SIDE_PX * 2
    image = Image.new("RGBA", (fine, fine))
    draw = ImageDraw.Draw(image)
    skin, second, line = _colour(rng), _colour(rng), _colour(rng, (0.05, 0.2))
    if rng.random() < 0.12:
        skin = (252, 252, 250)
    wide, tall = rng.uniform(0.2, 0.42) * fine, rng.uniform(0.2, 0.42) * fine
    x, y = fine / 2, fine * rng.uniform(0.48, 0.56)
    thick = rng.choice((0, 0, 6, 10))
    _limbs(draw, rng, moves, (x, y, wide, tall), second)
    box = (x - wide, y - tall, x + wide, y + tall)
    shape = rng.choice(("disc", "disc", "box", "star", "drop"))
    if shape == "disc":
        draw.ellipse(box, skin, line, thick)
    elif shape == "box":
        draw.rounded_rectangle(box, rng.uniform(0.1, 0.6) * min(wide, tall), skin, line, thick)
    else:
        spikes, inner = rng.randint(5, 11), rng.uniform(0.55, 0.85)
        turn = rng.uniform(0, 6)
        points = []
        for k in range(spikes * 2):
            r, at = (1.0, inner)[k % 2], turn + k * math.pi / spikes
            points.append((x + math.cos(at) * wide * r, y + math.sin(at) * tall * r))
        draw.polygon(points, skin, line, thick)
    for _ in range(rng.choice((0, 0, 3, 6, 9))):
        r, at, far = rng.uniform(0.05, 0.16) * wide, rng.uniform(0, 6.3), rng.uniform(0.2, 0.75)
        px, py = x + math.cos(at) * wide * far, y + math.sin(at) * tall * far
        draw.ellipse((px - r, py - r, px + r, py + r), second)
    _face(draw, rng, moves, (x, y, wide, tall), line)
    if pose:
        image = image.rotate(moves.uniform(-14, 14), Image.Resampling.BICUBIC)
    return image.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)


def _limbs(
    draw: ImageDraw.ImageDraw,
    rng: random.Random,
    moves: random.Random,
    body: tuple[float, float, float, float],
    colour: Colour,
) -> None:
    x, y, wide, tall = body
    for side in (-1, 1):
        for count, at in (
            (rng.randint(0, 2), 0.2),
            (rng.randint(0, 2), 1.1),
            (rng.randint(0, 1), -1),
        ):
            for k in range(count):
                turn = at + k * 0.5 + moves.uniform(-0.45, 0.45)
                far = rng.uniform(1.2, 1.45)
                end = (x + side * math.cos(turn) * wide * far, y + math.sin(turn) * tall * far)
                draw.line(((x, y), end), colour, round(wide * rng.uniform(0.12, 0.3)))
                r = wide * 0.14
                draw.ellipse((end[0] - r, end[1] - r, end[0] + r, end[1] + r), colour)


def _face(
    draw: ImageDraw.ImageDraw,
    rng: random.Random,
    moves: random.Random,
    body: tuple[float, float, float, float],
    line: Colour,
) -> None:
    x, y, wide, tall = body
    apart, size, up = rng.uniform(0.25, 0.5), rng.uniform(0.08, 0.24), rng.uniform(0.05, 0.4)
    look = moves.uniform(-0.4, 0.4)
    for side in (-1, 1)[: rng.choice((1, 2, 2, 2))]:
        px, py, r = x + side * apart * wide, y - up * tall, size * wide
        draw.ellipse((px - r, py - r, px + r, py + r), (255, 255, 255), line, 4)
        px += look * r
        draw.ellipse((px - r / 2, py - r / 2, px + r / 2, py + r / 2), line)
    half, low, tall_mouth = (
        rng.uniform(0.2, 0.5) * wide,
        y + rng.uniform(0.2, 0.5) * tall,
        0.3 * tall,
    )
    smile = moves.choice((0, 180))
    draw.arc(
        (x - half, low - tall_mouth / 2, x + half, low + tall_mouth / 2),
        smile,
        smile + 180,
        line,
        10,
    )


def _scene(seed: int, pose: int) -> Image.Image:
    """Paint a landscape; its pose is another hour, with other clouds and from a step beside."""
    rng, moves = random.Random(seed), random.Random(f"{seed} {pose}")
    sky = [_colour(rng, (0.2, 0.8)) for _ in range(rng.randint(2, 4))]
    canvas = Canvas(rng.choice(((192, 128), (160, 160), (128, 176))), sky, seed)
    step = moves.uniform(-0.06, 0.06) if pose else 0.0
    sun = (rng.uniform(0.15, 0.85) + step, rng.uniform(0.12, 0.5))
    canvas.clouds(moves.randint(0, 6), (0.05, 0.45), mixed(sky[-1], (255, 255, 255), 0.6), 170)
    if rng.random() < 0.7:
        canvas.glow(*sun, rng.uniform(0.1, 0.3), mixed(sky[-1], (90, 80, 50), 0.5))
        canvas.disc(*sun, rng.uniform(0.03, 0.11), (250, 240, 214))
    near, far = _colour(rng, (0.1, 0.35)), _colour(rng, (0.4, 0.7))
    layers, top = rng.randint(2, 6), rng.uniform(0.35, 0.65)
    for n in range(layers):
        colour = mixed(far, near, n / max(1, layers - 1))
        lines = canvas.ridge(top + n * (0.95 - top) / layers, rng.uniform(0.03, 0.2), colour)
        for _ in range(rng.choice((0, 0, 3, 8))):
            x, y = lines[rng.randrange(8, 232)]
            canvas.fir(x + step, y + 0.02, rng.uniform(0.06, 0.3), mixed(colour, (10, 30, 26), 0.6))
    for _ in range(rng.choice((0, 1, 2, 4))):
        _house(canvas, rng, step)
    return canvas.image.resize((canvas.width // 2, canvas.height // 2), Image.Resampling.LANCZOS)


def _house(canvas: Canvas, rng: random.Random, step: float) -> None:
    x, y = rng.uniform(0.05, 0.8) + step, rng.uniform(0.6, 0.9)
    wide, tall = rng.uniform(0.06, 0.2), rng.uniform(0.06, 0.3)
    wall, roof = _colour(rng, (0.4, 0.8)), _colour(rng, (0.2, 0.5))
    canvas.polygon([(x, y - tall), (x + wide, y - tall), (x + wide, y), (x, y)], wall)
    canvas.polygon([(x, y - tall), (x + wide / 2, y - tall * 1.5), (x + wide, y - tall)], roof)
    for k in range(rng.randint(1, 4)):
        left = x + wide * (0.1 + k * 0.22)
        canvas.polygon(
            [
                (left, y - tall * 0.7),
                (left + wide * 0.12, y - tall * 0.7),
                (left + wide * 0.12, y - tall * 0.4),
                (left, y - tall * 0.4),
            ],
            (255, 220, 140),
        )


def _scaled(image: Image.Image, rng: random.Random) -> Image.Image:
    part = rng.choice((0.3, 0.5, 0.7, 1.5, 2.0))
    size = tuple(max(48, round(side * part)) for side in image.size)
    return image.resize(size, rng.choice((Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)))  # type: ignore[arg-type]


def _recompressed(image: Image.Image, rng: random.Random) -> Image.Image:
    """Save as a poor JPEG, on white, or as a poor WebP, as messengers do."""
    out = io.BytesIO()
    options: dict[str, Any] = {"quality": rng.randint(15, 60)}
    if image.mode == "RGBA" and rng.random() < 0.5:
        image.save(out, "WEBP", **options)
    else:
        on_white(image).save(out, "JPEG", **options)
    return Image.open(out)


def _cropped(image: Image.Image, rng: random.Random) -> Image.Image:
    """Cut up to a tenth off each side, at least a twentieth off one."""
    cuts = [rng.uniform(0, 0.1) for _ in range(4)]
    cuts[rng.randrange(4)] = rng.uniform(0.05, 0.1)
    left, top, right, bottom = cuts
    wide, tall = image.size
    return image.crop(
        (
            round(left * wide),
            round(top * tall),
            round((1 - right) * wide),
            round((1 - bottom) * tall),
        )
    )


def _mirrored(image: Image.Image, rng: random.Random) -> Image.Image:
    out = io.BytesIO()
    turned = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned.save(out, "WEBP", quality=rng.randint(50, 90))
    return Image.open(out)


def _recoloured(image: Image.Image, rng: random.Random) -> Image.Image:
    """Turn every hue by the same, a quarter of the wheel at least."""
    hue, saturation, value = image.convert("RGB").convert("HSV").split()
    turn = rng.randint(64, 192)
    hue = hue.point([(level + turn) % 256 for level in range(256)])
    made = Image.merge("HSV", (hue, saturation, value)).convert(image.mode)
    if image.mode == "RGBA":
        made.putalpha(image.getchannel("A"))
    return made


def on_white(image: Image.Image) -> Image.Image:
    """Return a picture as it is shown: opaque."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(ground, image).convert("RGB")


_CHANGES: dict[str, Callable[[Image.Image, random.Random], Image.Image]] = {
    "scaled": _scaled,
    "recompressed": _recompressed,
    "cropped": _cropped,
    "mirrored": _mirrored,
    "recoloured": _recoloured,
}


def demo_stickers() -> list[Image.Image]:
    """Return the demo's stickers, RGBA."""
    book = json.loads((DEMO / "stickers.json").read_text(encoding="utf-8"))["stickers"]
    return [Image.open(DEMO / each["file"]).convert("RGBA") for each in book]


def _at(part: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize(
        (round(image.width * part), round(image.height * part)), Image.Resampling.LANCZOS
    )


def _as(form: str, quality: int) -> Callable[[Image.Image], Image.Image]:
    def saved(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        (image if form == "WEBP" else on_white(image)).save(file, form, quality=quality)
        return Image.open(file).convert(image.mode if form == "WEBP" else "RGB")

    return saved


STICKER_COPIES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "scaled to 0.3": _at(0.3),
    "scaled to 0.5": _at(0.5),
    "scaled to 0.75": _at(0.75),
    "scaled to 2": _at(2.0),
    "WebP, quality 90": _as("WEBP", 90),
    "WebP, quality 60": _as("WEBP", 60),
    "WebP, quality 30": _as("WEBP", 30),
    "JPEG on white, quality 75": _as("JPEG", 75),
    "JPEG on white, quality 30": _as("JPEG", 30),
}
"""Ways to copy a sticker."""
