"""Draw the demo's scenes into demo/scenes: `python dev/draw_scenes.py`. The same pictures every time.

Each is drawn twice as large as it is kept, which smooths its edges.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

SCENES = Path(__file__).resolve().parent.parent / "demo" / "scenes"
SEED = 20261130
FINER = 2
Colour = tuple[int, int, int]
Point = tuple[float, float]


class Canvas:
    """A picture to paint on; lengths are parts of its width or height, from 0 to 1."""

    def __init__(self, size: tuple[int, int], sky: list[Colour], seed: int) -> None:
        """Begin with a sky whose colours go evenly from top to bottom."""
        self.width, self.height = size[0] * FINER, size[1] * FINER
        self.random = random.Random(seed)  # noqa: S311 - the same picture every time is wanted
        strip = Image.new("RGB", (1, len(sky)))
        strip.putdata(sky)
        self.image = strip.resize((self.width, self.height), Image.Resampling.BICUBIC)

    def xy(self, points: list[Point]) -> list[Point]:
        """Return points in pixels."""
        return [(x * self.width, y * self.height) for x, y in points]

    def polygon(self, points: list[Point], colour: Colour) -> None:
        """Fill a shape."""
        ImageDraw.Draw(self.image).polygon(self.xy(points), fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Fill a circle; its radius is a part of the height."""
        r, (px, py) = radius * self.height, self.xy([(x, y)])[0]
        ImageDraw.Draw(self.image).ellipse((px - r, py - r, px + r, py + r), fill=colour)

    def glow(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Add light around a point, which fades out at twice the radius."""
        side = round(4 * radius * self.height)
        fall = ImageChops.invert(Image.radial_gradient("L")).resize((side, side))
        fall = fall.point([round(255 * max(0, (n - 75) / 180) ** 2) for n in range(256)])
        strength = Image.new("L", self.image.size)
        strength.paste(fall, (round(x * self.width - side / 2), round(y * self.height - side / 2)))
        light = Image.new("RGB", self.image.size)
        light.paste(colour, mask=strength)
        self.image = ImageChops.screen(self.image, light)

    def ridge(self, y: float, height: float, colour: Colour, rough: int = 4) -> list[Point]:
        """Fill a range of hills down to the bottom; return its line."""
        waves = [
            (self.random.uniform(0.6, 1.4) * 2**k, self.random.uniform(0, 6.3), 0.55**k)
            for k in range(rough)
        ]
        line = []
        for step in range(241):
            x = step / 240
            rise = sum(math.sin(x * f * 4.5 + p) * a for f, p, a in waves)
            line.append((x, y - height * rise / 2))
        self.polygon([*line, (1, 1), (0, 1)], colour)
        return line

    def stars(self, count: int, below: float) -> None:
        """Strew stars over the sky, from the top down to `below`."""
        draw = ImageDraw.Draw(self.image)
        for _ in range(count):
            x, y = self.random.random() * self.width, self.random.random() * below * self.height
            r, shade = self.random.choice((1, 1, 1.5, 2)), self.random.randint(150, 255)
            draw.ellipse((x - r, y - r, x + r, y + r), fill=(shade, shade, min(255, shade + 12)))

    def clouds(self, count: int, y: tuple[float, float], colour: Colour, strength: int) -> None:
        """Lay soft flat clouds between two heights."""
        mask = Image.new("L", (self.width // 4, self.height // 4))
        draw = ImageDraw.Draw(mask)
        for _ in range(count):
            cx = self.random.random() * mask.width
            cy = self.random.uniform(*y) * mask.height
            for _ in range(9):
                w = self.random.uniform(0.03, 0.11) * mask.width
                h = w * self.random.uniform(0.10, 0.22)
                dx, dy = self.random.gauss(0, w), self.random.gauss(0, h * 0.7)
                box = (cx + dx - w, cy + dy - h, cx + dx + w, cy + dy + h)
                draw.ellipse(box, fill=strength)
        mask = mask.filter(ImageFilter.GaussianBlur(mask.height / 55))
        self.image.paste(colour, mask=mask.resize(self.image.size, Image.Resampling.BICUBIC))

    def fir(self, x: float, y: float, height: float, colour: Colour) -> None:
        """Draw a fir whose foot is at a point."""
        wide = height * 0.19 * self.height / self.width
        self.polygon([(x - wide * 0.09, y), (x + wide * 0.09, y), (x, y - height)], colour)
        for tier in range(5):
            low, top = y - height * (0.08 + tier * 0.17), y - height * (0.40 + tier * 0.15)
            w = wide * (1 - tier * 0.17)
            self.polygon([(x - w, low), (x + w, low), (x, top)], colour)

    def glitter(self, y: float, x: float, spread: float, colour: Colour, count: int = 90) -> None:
        """Draw the light of sun or moon on water, from a height down to the bottom."""
        draw = ImageDraw.Draw(self.image)
        for _ in range(count):
            depth = self.random.random() ** 1.4
            py = y + (1 - y) * depth
            px = x + self.random.gauss(0, spread * (0.25 + depth))
            w = self.random.uniform(0.008, 0.045) * (0.35 + depth)
            h = 0.0022 + 0.004 * depth
            box = self.xy([(px - w, py - h), (px + w, py + h)])
            draw.ellipse([*box[0], *box[1]], fill=colour)


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """Return a colour between two: `share` of b."""
    red, green, blue = (round(p + (q - p) * share) for p, q in zip(a, b, strict=True))
    return red, green, blue


def dusk_over_hills() -> Canvas:
    """Hills in layers before a low sun."""
    c = Canvas(
        (960, 640), [(48, 52, 96), (116, 84, 128), (222, 128, 112), (252, 196, 132)], SEED + 1
    )
    c.clouds(7, (0.08, 0.42), (250, 168, 140), 130)
    c.glow(0.64, 0.56, 0.42, (210, 130, 60))
    c.disc(0.64, 0.56, 0.062, (255, 236, 190))
    for n in range(6):
        c.ridge(0.60 + n * 0.075, 0.13, mixed((206, 122, 122), (34, 30, 62), n / 5), 4)
    return c


def moon_over_hills() -> Canvas:
    """Blue hills under a rising moon."""
    c = Canvas((960, 640), [(10, 18, 52), (30, 50, 104), (84, 112, 164)], SEED + 11)
    c.stars(120, 0.5)
    c.glow(0.32, 0.30, 0.26, (110, 124, 150))
    c.disc(0.32, 0.30, 0.075, (246, 242, 224))
    for n in range(6):
        c.ridge(0.56 + n * 0.08, 0.14, mixed((96, 126, 176), (8, 16, 44), n / 5), 4)
    return c


def spring_morning() -> Canvas:
    """Green hills and a few trees on a spring morning."""
    c = Canvas((960, 640), [(142, 200, 222), (204, 230, 222), (252, 240, 204)], SEED + 12)
    c.clouds(5, (0.10, 0.34), (255, 255, 255), 190)
    c.glow(0.78, 0.40, 0.34, (90, 80, 40))
    c.disc(0.78, 0.40, 0.05, (255, 250, 226))
    for n in range(5):
        line = c.ridge(0.56 + n * 0.09, 0.12, mixed((176, 212, 168), (44, 110, 78), n / 4), 3)
        for _ in range(3 + n):
            x, y = c.random.choice(line[8:-8])
            tall = 0.022 + 0.012 * n
            c.polygon([(x - 0.001, y), (x + 0.001, y), (x, y - tall)], (84, 66, 50))
            leaf = mixed((236, 178, 190), (250, 214, 220), c.random.random())
            for dx, dy in ((-0.35, 0.8), (0.35, 0.8), (0, 1.15)):
                c.disc(x + dx * tall * 0.6, y - dy * tall, tall * 0.42, leaf)
    return c


def sail_on_the_sea() -> Canvas:
    """A white sail on a blue sea by day."""
    c = Canvas((960, 640), [(84, 158, 214), (142, 198, 232), (214, 234, 240)], SEED + 2)
    c.clouds(6, (0.12, 0.42), (255, 255, 255), 220)
    for n in range(14):
        y = 0.56 + n * n * 0.0024
        colour = mixed((74, 158, 190), (12, 66, 120), n / 13)
        c.ridge(y, 0.002 + n * 0.0011, colour, 5)
    c.polygon([(0.452, 0.22), (0.452, 0.66), (0.575, 0.655)], (252, 250, 244))
    c.polygon([(0.444, 0.27), (0.444, 0.66), (0.366, 0.655)], (226, 74, 66))
    c.polygon([(0.445, 0.19), (0.451, 0.19), (0.451, 0.70), (0.445, 0.70)], (92, 64, 44))
    c.polygon([(0.35, 0.675), (0.595, 0.675), (0.555, 0.735), (0.395, 0.735)], (120, 72, 44))
    c.polygon([(0.35, 0.675), (0.595, 0.675), (0.59, 0.687), (0.356, 0.687)], (244, 232, 210))
    c.glitter(0.735, 0.47, 0.06, (196, 228, 236), 60)
    for x, y, s in ((0.72, 0.22, 1.0), (0.78, 0.27, 0.7), (0.67, 0.30, 0.6)):
        draw = ImageDraw.Draw(c.image)
        for side in (-1, 1):
            box = c.xy(
                [
                    (x + side * 0.012 * s - 0.012 * s, y),
                    (x + side * 0.012 * s + 0.012 * s, y + 0.03 * s),
                ]
            )
            draw.arc([*box[0], *box[1]], 200, 340, fill=(60, 80, 100), width=4)
    return c


def city_at_night() -> Canvas:
    """Towers with lit windows under a moon."""
    c = Canvas((960, 640), [(8, 12, 34), (22, 28, 66), (74, 56, 104), (140, 86, 112)], SEED + 3)
    c.stars(150, 0.5)
    c.glow(0.78, 0.18, 0.20, (80, 84, 110))
    c.disc(0.78, 0.18, 0.055, (244, 240, 220))
    draw = ImageDraw.Draw(c.image)
    for layer, colour in enumerate(((52, 46, 88), (30, 30, 62), (13, 15, 34))):
        x = -0.02
        while x < 1:
            w = c.random.uniform(0.045, 0.10)
            top = c.random.uniform(0.30, 0.60) + layer * 0.11
            c.polygon([(x, top), (x + w, top), (x + w, 1), (x, 1)], colour)
            if c.random.random() < 0.35:
                mid = x + w / 2
                c.polygon(
                    [
                        (mid - 0.002, top - 0.07),
                        (mid + 0.002, top - 0.07),
                        (mid + 0.002, top),
                        (mid - 0.002, top),
                    ],
                    colour,
                )
            rows, columns = int((1 - top) / 0.028), max(2, int(w / 0.0135))
            for row in range(rows):
                for column in range(columns):
                    if c.random.random() > 0.42 - 0.06 * layer:
                        continue
                    wx = x + w * (column + 0.28) / columns
                    wy = top + 0.016 + row * 0.028
                    shade = c.random.choice(((255, 214, 130), (255, 190, 98), (190, 216, 255)))
                    box = c.xy([(wx, wy), (wx + w * 0.48 / columns, wy + 0.013)])
                    draw.rectangle(
                        [*box[0], *box[1]], fill=mixed(colour, shade, 0.45 + layer * 0.25)
                    )
            x += w + c.random.uniform(0, 0.012)
    return c


def fir_forest() -> Canvas:
    """Firs in the mist of a morning, upright."""
    c = Canvas((640, 880), [(176, 208, 204), (206, 226, 214), (236, 240, 222)], SEED + 4)
    c.glow(0.30, 0.26, 0.30, (70, 66, 40))
    for layer in range(6):
        colour = mixed((158, 192, 184), (14, 44, 42), layer / 5)
        base = 0.58 + layer * 0.085
        for _ in range(17 - layer * 2):
            x = c.random.uniform(-0.05, 1.05)
            height = c.random.uniform(0.20, 0.30) + layer * 0.045
            c.fir(x, base + c.random.uniform(0, 0.03), height, colour)
        c.ridge(base + 0.005, 0.02, colour, 4)
        if layer < 5:
            c.clouds(5, (base - 0.06, base + 0.03), (226, 236, 226), 90)
    return c


def desert_dunes() -> Canvas:
    """Dunes with a lit and a dark side."""
    c = Canvas((960, 600), [(64, 132, 190), (150, 196, 216), (246, 226, 186)], SEED + 5)
    c.disc(0.24, 0.22, 0.05, (255, 248, 222))
    c.glow(0.24, 0.22, 0.26, (110, 90, 50))
    for n in range(4):
        light = mixed((240, 190, 122), (222, 142, 70), n / 3)
        dark = mixed((206, 142, 92), (136, 72, 42), n / 3)
        line = c.ridge(0.56 + n * 0.12, 0.09, light, 2)
        peaks = [
            i for i in range(12, 228) if line[i][1] == min(p[1] for p in line[i - 12 : i + 13])
        ]
        for i in peaks:
            crest = [line[i + k] for k in range(0, 12 + 10 * n) if i + k < 240]
            end = line[min(239, i + 60)]
            foot = [
                (end[0], end[1] + 0.05),
                (line[i][0] + 0.16, 1.0),
                (line[i][0] - 0.05, 1.0),
                (line[i][0] + 0.035, line[i][1] + 0.10),
            ]
            c.polygon([*crest, *foot], dark)
    for k, x in enumerate((0.56, 0.605, 0.65)):
        y = 0.842 + 0.006 * k
        c.polygon([(x, y), (x + 0.007, y - 0.05), (x + 0.014, y)], (70, 40, 34))
        c.disc(x + 0.007, y - 0.053, 0.010, (70, 40, 34))
    return c


def snow_and_cabin() -> Canvas:
    """A cabin with light in its windows under falling snow."""
    c = Canvas((960, 640), [(44, 62, 104), (92, 116, 158), (178, 194, 214)], SEED + 6)
    for n in range(2):
        c.ridge(0.46 + n * 0.08, 0.17, mixed((120, 142, 178), (86, 108, 150), n), 6)
    c.ridge(0.70, 0.05, (206, 218, 234), 2)
    for x, h in (
        (0.08, 0.34),
        (0.16, 0.26),
        (0.24, 0.20),
        (0.74, 0.24),
        (0.83, 0.36),
        (0.93, 0.30),
    ):
        c.fir(x, 0.76, h, (34, 58, 74))
        c.fir(x, 0.745, h * 0.9, (226, 234, 244))
        c.fir(x + 0.004, 0.76, h * 0.82, (44, 72, 88))
    c.polygon([(0.40, 0.60), (0.60, 0.60), (0.60, 0.76), (0.40, 0.76)], (96, 60, 44))
    for k in range(5):
        y = 0.62 + k * 0.03
        c.polygon([(0.40, y), (0.60, y), (0.60, y + 0.004), (0.40, y + 0.004)], (70, 42, 32))
    c.polygon([(0.37, 0.61), (0.50, 0.45), (0.63, 0.61)], (240, 245, 252))
    c.polygon([(0.545, 0.49), (0.57, 0.49), (0.57, 0.42), (0.545, 0.42)], (88, 62, 54))
    for x in (0.43, 0.53):
        c.polygon([(x, 0.645), (x + 0.04, 0.645), (x + 0.04, 0.705), (x, 0.705)], (255, 208, 112))
        c.polygon(
            [(x + 0.018, 0.645), (x + 0.022, 0.645), (x + 0.022, 0.705), (x + 0.018, 0.705)],
            (96, 60, 44),
        )
    c.glow(0.50, 0.68, 0.16, (120, 76, 24))
    c.ridge(0.80, 0.03, (236, 242, 250), 2)
    c.ridge(0.90, 0.03, (250, 252, 255), 2)
    for _ in range(260):
        c.disc(
            c.random.random(), c.random.random(), c.random.uniform(0.0018, 0.0055), (250, 252, 255)
        )
    return c


def mountain_lake() -> Canvas:
    """A snowy peak and its image in a still lake."""
    c = Canvas((960, 640), [(64, 120, 186), (150, 190, 220), (232, 226, 214)], SEED + 7)
    c.clouds(5, (0.08, 0.3), (255, 255, 255), 150)
    c.ridge(0.46, 0.12, (132, 154, 186), 6)
    peak = [
        (0.18, 0.60),
        (0.33, 0.36),
        (0.40, 0.30),
        (0.50, 0.12),
        (0.58, 0.24),
        (0.66, 0.30),
        (0.86, 0.60),
    ]
    c.polygon(peak, (84, 98, 130))
    c.polygon(
        [
            (0.50, 0.12),
            (0.58, 0.24),
            (0.66, 0.30),
            (0.86, 0.60),
            (0.60, 0.60),
            (0.55, 0.40),
            (0.52, 0.30),
        ],
        (62, 74, 106),
    )
    snow = [
        (0.50, 0.12),
        (0.58, 0.24),
        (0.605, 0.262),
        (0.57, 0.30),
        (0.545, 0.27),
        (0.525, 0.33),
        (0.50, 0.27),
        (0.47, 0.32),
        (0.45, 0.28),
        (0.42, 0.305),
        (0.405, 0.297),
    ]
    c.polygon(snow, (246, 249, 252))
    c.polygon(
        [
            (0.50, 0.12),
            (0.58, 0.24),
            (0.605, 0.262),
            (0.57, 0.30),
            (0.545, 0.27),
            (0.525, 0.33),
            (0.515, 0.27),
        ],
        (206, 220, 236),
    )
    for _ in range(70):
        c.fir(
            c.random.random(),
            0.605,
            c.random.uniform(0.05, 0.11),
            mixed((34, 78, 74), (20, 54, 58), c.random.random()),
        )
    c.polygon([(0, 0.598), (1, 0.598), (1, 0.61), (0, 0.61)], (24, 58, 58))
    line = round(0.605 * c.height)
    depth = c.height - line
    mirror = c.image.crop((0, line - depth, c.width, line)).transpose(
        Image.Transpose.FLIP_TOP_BOTTOM
    )
    mirror = mirror.filter(ImageFilter.GaussianBlur(3))
    tint = Image.new("RGB", mirror.size, (30, 76, 112))
    c.image.paste(Image.blend(mirror, tint, 0.28), (0, line))
    c.glitter(0.63, 0.5, 0.30, (150, 186, 206), 40)
    return c


def northern_lights() -> Canvas:
    """Green light over a frozen plain."""
    c = Canvas((960, 640), [(6, 10, 30), (10, 26, 54), (24, 62, 82)], SEED + 8)
    c.stars(260, 0.72)
    for band, colour in enumerate(((40, 210, 140), (70, 240, 170), (150, 90, 210))):
        light = Image.new("RGB", (240, 160))
        draw = ImageDraw.Draw(light)
        phase, low = c.random.uniform(0, 6), 84 - band * 17
        for x in range(240):
            y = low + 16 * math.sin(x / 33 + phase) + 7 * math.sin(x / 13 + phase * 2)
            tall = 34 + 13 * math.sin(x / 9 + band) + c.random.uniform(-5, 5)
            for step in range(int(tall)):
                share = (1 - step / tall) ** 1.5 * (0.55 + 0.35 * math.sin(x / 21 + band * 2))
                draw.point((x, y - step), tuple(max(0, round(v * share)) for v in colour))
        soft = light.filter(ImageFilter.GaussianBlur(1.6)).resize(
            c.image.size, Image.Resampling.BICUBIC
        )
        c.image = ImageChops.screen(c.image, soft)
    c.ridge(0.74, 0.09, (12, 26, 44), 6)
    c.ridge(0.86, 0.02, (52, 96, 116), 2)
    for x, h in ((0.06, 0.30), (0.12, 0.22), (0.17, 0.16), (0.88, 0.20), (0.94, 0.30)):
        c.fir(x, 0.90, h, (5, 12, 20))
    c.ridge(0.94, 0.02, (30, 62, 82), 2)
    return c


def lighthouse() -> Canvas:
    """A red and white lighthouse on a cliff in the evening, upright."""
    c = Canvas(
        (640, 880), [(42, 62, 112), (132, 104, 148), (240, 158, 128), (252, 206, 158)], SEED + 9
    )
    c.clouds(6, (0.12, 0.46), (250, 184, 160), 130)
    for n in range(8):
        c.ridge(
            0.66 + n * n * 0.006, 0.004 + n * 0.0014, mixed((150, 122, 150), (28, 40, 84), n / 7), 5
        )
    c.glow(0.62, 0.30, 0.20, (190, 160, 90))
    c.polygon(
        [(0.62, 0.297), (-0.2, 0.21), (-0.2, 0.35)], mixed((190, 130, 130), (255, 236, 190), 0.35)
    )
    left, right, top, foot = 0.545, 0.695, 0.335, 0.74
    for n in range(6):
        a, b = n / 6, (n + 1) / 6
        inset_a, inset_b = 0.028 * (1 - a), 0.028 * (1 - b)
        ya, yb = top + (foot - top) * a, top + (foot - top) * b
        colour = (206, 58, 52) if n % 2 == 0 else (246, 240, 232)
        c.polygon(
            [
                (left + inset_a, ya),
                (right - inset_a, ya),
                (right - inset_b, yb),
                (left + inset_b, yb),
            ],
            colour,
        )
        c.polygon(
            [(0.655, ya), (right - inset_a, ya), (right - inset_b, yb), (0.662, yb)],
            mixed(colour, (60, 30, 60), 0.25),
        )
    c.polygon([(0.55, 0.322), (0.69, 0.322), (0.69, 0.337), (0.55, 0.337)], (44, 40, 60))
    c.polygon([(0.585, 0.272), (0.655, 0.272), (0.655, 0.322), (0.585, 0.322)], (255, 238, 176))
    c.polygon([(0.617, 0.272), (0.623, 0.272), (0.623, 0.322), (0.617, 0.322)], (44, 40, 60))
    c.polygon([(0.572, 0.274), (0.62, 0.236), (0.668, 0.274)], (158, 40, 40))
    cliff = [
        (0.30, 1),
        (0.36, 0.90),
        (0.40, 0.82),
        (0.46, 0.77),
        (0.52, 0.735),
        (0.75, 0.735),
        (0.86, 0.76),
        (1, 0.80),
        (1, 1),
    ]
    c.polygon(cliff, (38, 40, 62))
    c.polygon(
        [
            (0.46, 0.77),
            (0.52, 0.735),
            (0.75, 0.735),
            (0.86, 0.76),
            (1, 0.80),
            (1, 0.82),
            (0.8, 0.785),
            (0.6, 0.76),
        ],
        (64, 92, 78),
    )
    return c


def autumn_road() -> Canvas:
    """A road between trees with red and golden leaves."""
    c = Canvas((960, 640), [(150, 190, 214), (214, 220, 210), (248, 226, 178)], SEED + 10)
    c.ridge(0.52, 0.06, (176, 152, 130), 4)
    c.ridge(0.58, 0.03, (190, 148, 84), 4)
    c.polygon([(0, 0.60), (1, 0.60), (1, 1), (0, 1)], (176, 128, 66))
    c.polygon([(0.494, 0.58), (0.506, 0.58), (0.80, 1), (0.20, 1)], (112, 104, 108))
    for n in range(7):
        y = 0.61 + n * n * 0.0095
        h, w = 0.006 + n * 0.0048, 0.0008 + n * 0.0011
        c.polygon(
            [(0.5 - w, y), (0.5 + w, y), (0.5 + w * 1.4, y + h), (0.5 - w * 1.4, y + h)],
            (240, 226, 190),
        )
    leaves = ((204, 74, 40), (226, 118, 38), (240, 172, 54), (178, 50, 42))
    for n in range(9):
        near = (n / 8) ** 1.7
        for side in (-1, 1):
            x, foot = 0.5 + side * (0.05 + 0.44 * near), 0.60 + 0.30 * near
            tall = 0.10 + 0.46 * near
            trunk = 0.003 + 0.011 * near
            c.polygon(
                [
                    (x - trunk, foot),
                    (x + trunk, foot),
                    (x + trunk * 0.5, foot - tall * 0.7),
                    (x - trunk * 0.5, foot - tall * 0.7),
                ],
                (76, 52, 44),
            )
            for _ in range(90):
                angle, far = c.random.uniform(0, 6.3), c.random.random() ** 0.5
                dx, dy = math.cos(angle) * far * tall * 0.34, math.sin(angle) * far * tall * 0.44
                light = mixed(c.random.choice(leaves), (255, 226, 150), max(0, -dy / tall) * 0.7)
                c.disc(x + dx, foot - tall * 0.86 + dy, tall * c.random.uniform(0.03, 0.07), light)
    for _ in range(160):
        c.disc(
            c.random.random(),
            c.random.uniform(0.72, 1),
            c.random.uniform(0.003, 0.007),
            c.random.choice(leaves),
        )
    return c


def paper_boat() -> Canvas:
    """A folded boat that was cut out: nothing is behind it."""
    c = Canvas((480, 360), [(0, 0, 0)], SEED + 12)
    c.image = Image.new("RGBA", c.image.size)
    c.polygon([(0.50, 0.10), (0.30, 0.62), (0.50, 0.62)], (246, 240, 226))
    c.polygon([(0.50, 0.10), (0.70, 0.62), (0.50, 0.62)], (222, 210, 188))
    c.polygon([(0.06, 0.50), (0.50, 0.62), (0.94, 0.50), (0.74, 0.86), (0.26, 0.86)], (224, 88, 72))
    c.polygon([(0.06, 0.50), (0.50, 0.62), (0.36, 0.86), (0.26, 0.86)], (196, 66, 58))
    c.polygon([(0.94, 0.50), (0.50, 0.62), (0.64, 0.86), (0.74, 0.86)], (238, 116, 92))
    return c


PICTURES: dict[str, Callable[[], Canvas]] = {
    "dusk-over-hills": dusk_over_hills,
    "moon-over-hills": moon_over_hills,
    "spring-morning": spring_morning,
    "sail-on-the-sea": sail_on_the_sea,
    "city-at-night": city_at_night,
    "fir-forest": fir_forest,
    "desert-dunes": desert_dunes,
    "snow-and-cabin": snow_and_cabin,
    "mountain-lake": mountain_lake,
    "northern-lights": northern_lights,
    "lighthouse": lighthouse,
    "autumn-road": autumn_road,
    "paper-boat": paper_boat,
}


def main() -> None:
    """Draw all that scenes.json lists."""
    for name, draw in PICTURES.items():
        canvas = draw()
        size = canvas.width // FINER, canvas.height // FINER
        small = canvas.image.resize(size, Image.Resampling.LANCZOS)
        small.save(SCENES / f"{name}.webp", quality=80, method=6)


if __name__ == "__main__":
    main()
