"""Finds every concept's drawing in the icon sets and renders it into one uint8 RGBA array."""

from __future__ import annotations

import argparse
import io
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

from training.concepts import Concept, load_concepts

logger = logging.getLogger(__name__)

STYLES = (
    "noto",
    "noto-v1",
    "fxemoji",
    "fluent-emoji",
    "fluent-emoji-flat",
    "fluent-emoji-high-contrast",
    "twemoji",
    "emojione",
    "streamline-emojis",
    # Only some hundred of their icons are a concept's; what they bring is other ways to draw.
    "emojione-monotone",
    "icon-park",
    "lucide",
    "ph",
    "tabler",
    "streamline-color",
    "streamline-cyber-color",
    "streamline-flex-color",
    "streamline-plump-color",
    "streamline-sharp-color",
    "streamline-kameleon-color",
    "streamline-ultimate-color",
)
RENDER_PX = 96
"""Side of the cached renders: half again the network's input, so that crops stay sharp."""


@dataclass
class Artwork:
    """Rendered drawings.

    Attributes:
        pixels: (n, RENDER_PX, RENDER_PX, 4) uint8 RGBA, straight alpha.
        concepts: (n,) int64 row of the concept table.
        styles: (n,) int64 position in STYLES.
        icons: (n,) name of the icon in its set.
    """

    pixels: npt.NDArray[np.uint8]
    concepts: npt.NDArray[np.int64]
    styles: npt.NDArray[np.int64]
    icons: npt.NDArray[np.str_]

    def save(self, path: Path) -> None:
        """Write an uncompressed .npz (the pixels are read again at every training start)."""
        np.savez(
            path,
            pixels=self.pixels,
            concepts=self.concepts,
            styles=self.styles,
            icons=self.icons,
        )

    @classmethod
    def load(cls, path: Path) -> Artwork:
        """Read what `save` wrote."""
        with np.load(path) as stored:
            return cls(**{name: stored[name] for name in stored.files})


def svg_of(icons: dict[str, Any], name: str) -> str | None:
    """Return the SVG document of an icon of a loaded icon set; None when the set lacks it."""
    seen = set()
    while name not in icons["icons"]:
        if name in seen or name not in icons.get("aliases", {}):
            return None
        seen.add(name)
        name = icons["aliases"][name]["parent"]
    icon = icons["icons"][name]
    left, top = icon.get("left", 0), icon.get("top", 0)
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    body = icon["body"].replace("currentColor", "#111111")
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}">{body}</svg>'
    )


def load_icons(packages: Path, style: str) -> dict[str, Any]:
    """Return a set's `icons.json`, with its code point table under "chars" (empty without one)."""
    folder = packages / "@iconify-json" / style
    icons: dict[str, Any] = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
    chars = folder / "chars.json"
    icons["chars"] = json.loads(chars.read_text(encoding="utf-8")) if chars.exists() else {}
    return icons


def match_icons(concepts: list[Concept], icons: dict[str, Any]) -> list[tuple[int, str]]:
    """Return (concept row, icon name) pairs: by code points where the set has them, else by name."""
    by_code = {
        "-".join(p for p in code.upper().split("-") if p != "FE0F"): name
        for code, name in icons["chars"].items()
    }
    names = [*icons["icons"], *icons.get("aliases", {})]
    by_name: dict[str, list[str]] = {}
    for name in names:
        # Some sets number two drawings of one thing ("poodle-1") and some drop all hyphens.
        for key in {name, re.sub(r"-\d$", "", name), name.replace("-", "")}:
            by_name.setdefault(key, []).append(name)
    pairs: list[tuple[int, str]] = []
    taken: set[str] = set()
    for row, concept in enumerate(concepts):
        found: list[str] = []
        code = concept.hexcode.upper()
        for key in (code, code.zfill(4)):
            if key in by_code:
                found = [by_code[key]]
                break
        if not found and not by_code:
            for candidate in concept.slugs:
                for key in (candidate, candidate.replace("-", "")):
                    found = [n for n in by_name.get(key, []) if n not in taken]
                    if found:
                        break
                if found:
                    break
        for name in found:
            taken.add(name)
            pairs.append((row, name))
    return pairs


def render(svg: str, side_px: int) -> npt.NDArray[np.uint8]:
    """Return (side_px, side_px, 4) uint8 RGBA, straight alpha, the drawing centred."""
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side_px, skip_system_fonts=True))
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    if picture.size != (side_px, side_px):
        picture.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
        canvas = Image.new("RGBA", (side_px, side_px))
        canvas.paste(picture, ((side_px - picture.width) // 2, (side_px - picture.height) // 2))
        picture = canvas
    return np.asarray(picture)


def render_all(packages: Path, styles: tuple[str, ...] = STYLES) -> Artwork:
    """Render every drawing of every concept in the given styles."""
    concepts = load_concepts(packages)
    pixels, rows, numbers, names = [], [], [], []
    for style in styles:
        icons = load_icons(packages, style)
        count = 0
        for row, name in match_icons(concepts, icons):
            svg = svg_of(icons, name)
            if svg is None:
                continue
            try:
                drawing = render(svg, RENDER_PX)
            except ValueError as error:
                logger.warning("%s/%s does not render: %s", style, name, error)
                continue
            pixels.append(drawing)
            rows.append(row)
            numbers.append(STYLES.index(style))
            names.append(name)
            count += 1
        logger.info("%s: %d drawings", style, count)
    return Artwork(
        np.stack(pixels), np.array(rows), np.array(numbers), np.array(names, dtype=np.str_)
    )


def main() -> None:
    """Render into the cache file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, default=Path("training/artwork/node_modules"))
    parser.add_argument("--out", type=Path, default=Path("training/cache/artwork.npz"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    render_all(arguments.packages).save(arguments.out)


if __name__ == "__main__":
    main()
