"""Draws the demo: stickers of a style the encoder has never seen, with names in three languages."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from training.artwork import load_icons, match_icons, render, svg_of
from training.concepts import GROUP_NAMES, LANGUAGES, load_concepts

SIDE_PX = 160
SEED = 20_251
SHARES = {0: 60, 1: 20, 3: 70, 4: 55, 5: 40, 6: 25, 7: 30}
"""Stickers per emojibase group: what people send most; no symbols, no flags."""
MAX_KEYWORDS = 8


def main() -> None:
    """Write the pictures and stickers.json; the same seed chooses the same stickers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, default=Path("training/artwork/node_modules"))
    parser.add_argument("--style", default="twemoji")
    parser.add_argument("--out", type=Path, default=Path("demo"))
    arguments = parser.parse_args()
    concepts = load_concepts(arguments.packages)
    icons = load_icons(arguments.packages, arguments.style)
    package = json.loads(
        (arguments.packages / "@iconify-json" / arguments.style / "package.json").read_text()
    )
    drawn = dict(match_icons(concepts, icons))
    random = np.random.default_rng(SEED)
    folder = arguments.out / "stickers"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    listed = []
    for group, share in SHARES.items():
        # Variants by gender or hair are joined by U+200D; one picture of each thing is enough,
        # and two dozen clock faces would teach nobody anything.
        candidates = [
            row
            for row in drawn
            if concepts[row].group == group
            and "200D" not in concepts[row].hexcode
            and "clock" not in concepts[row].keywords["en"]
        ]
        for row in sorted(random.permutation(candidates)[:share].tolist()):
            concept, name = concepts[row], drawn[row]
            svg = svg_of(icons, name)
            if svg is None:
                continue
            path = folder / f"{name}.png"
            picture = Image.fromarray(render(svg, SIDE_PX))
            # 255 colours with alpha: a flat drawing loses nothing one could see, and 2/3 of its bytes.
            picture.quantize(255, method=Image.Quantize.FASTOCTREE).save(path, optimize=True)
            listed.append(
                {
                    "file": path.relative_to(arguments.out).as_posix(),
                    "names": concept.names,
                    "keywords": {
                        language: list(concept.keywords[language][:MAX_KEYWORDS])
                        for language in LANGUAGES
                    },
                    "group": GROUP_NAMES[group],
                    "emoji": concept.emoji,
                    "source": f"{arguments.style}/{name}",
                }
            )
    described = {
        "style": arguments.style,
        "package": f"{package['name']} {package['version']}",
        "licence": icons["info"]["license"]["spdx"] if "info" in icons else "CC-BY-4.0",
        "names_and_keywords": "emojibase-data (MIT), CLDR annotations (Unicode-3.0)",
        "stickers": listed,
    }
    (arguments.out / "stickers.json").write_text(
        json.dumps(described, indent=1, ensure_ascii=False) + "\n"
    )
    total = sum(path.stat().st_size for path in folder.glob("*.png"))
    print(f"{len(listed)} stickers, {total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
