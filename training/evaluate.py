"""Measures the bundled encoder as the product runs it: meaning, robustness, photographs.

`make eval-encoder` runs it. Two styles are measured. Twemoji, the validation set, was held out of
training and guided the choice of the recipe. OpenMoji, the test set, was used neither in training nor in
any choice. Figures on a style of the training set would say nothing about new art.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from mirada.adapters.encoders.engines import load_encoder
from training.artwork import load_icons, match_icons, render, svg_of
from training.concepts import LANGUAGES, Concept, load_concepts
from training.photo_exam import figures as stamp_figures
from training.photo_exam import load_stamps

RENDER_PX = 160
"""About the size at which sticker packs deliver."""
EXAM_STYLE = "openmoji"
UNCHANGED = 1 - 1e-6
"""Cosine above which a drawing has the sticker model's own vector."""
Matrix = npt.NDArray[np.float32]


class Model:
    """A model folder on the product's CPU engine."""

    def __init__(self, folder: Path) -> None:
        """Load both towers."""
        self.encoder = load_encoder(str(folder), device="cpu")

    def images(self, pictures: list[Image.Image]) -> Matrix:
        """Return (n, d) unit rows."""
        return self.encoder.encode_images([np.asarray(picture) for picture in pictures])

    def texts(self, texts: list[str]) -> Matrix:
        """Return (n, d) unit rows."""
        return self.encoder.encode_texts(texts)


def on(background: tuple[int, int, int], rgba: Image.Image) -> Image.Image:
    """Return an RGBA picture laid on a colour."""
    canvas = Image.new("RGBA", rgba.size, (*background, 255))
    canvas.alpha_composite(rgba)
    return canvas.convert("RGB")


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """Return the picture after a trip through JPEG."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return Image.open(io.BytesIO(out.getvalue())).convert("RGB")


def ranks(scores: Matrix, truth: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the 0-based rank of each row's true column."""
    best = np.take_along_axis(scores, truth[:, None], axis=1)
    return (scores > best).sum(axis=1)


def drawings(
    packages: Path, style: str, concepts: list[Concept]
) -> tuple[npt.NDArray[np.int64], list[Image.Image]]:
    """Return (concept rows, RGBA drawings), one drawing per concept."""
    icons = load_icons(packages, style)
    rows, pictures = [], []
    for row, name in match_icons(concepts, icons):
        svg = svg_of(icons, name)
        if svg is None or row in rows[-1:]:
            continue
        rows.append(row)
        pictures.append(Image.fromarray(render(svg, RENDER_PX)))
    return np.array(rows), pictures


def meaning(model: Model, rows: npt.NDArray[np.int64], vectors: Matrix, concepts: list[Concept]):
    """Return picture -> name and name -> picture figures per language, over all concepts."""
    figures = {}
    for language in LANGUAGES:
        names = model.texts([concept.names[language] for concept in concepts])
        to_name = ranks(vectors @ names.T, rows)
        to_picture = ranks(names[rows] @ vectors.T, np.arange(len(rows)))
        figures[language] = {
            "picture -> name top-1": float((to_name < 1).mean()),
            "picture -> name top-5": float((to_name < 5).mean()),
            "name -> picture recall@1": float((to_picture < 1).mean()),
            "name -> picture recall@10": float((to_picture < 10).mean()),
        }
    return figures


def robustness(model: Model, gallery_art: list[Image.Image], gallery: Matrix) -> dict[str, float]:
    """Return the share of altered stickers, one in four, whose original is the nearest of all."""
    originals, truth = gallery_art[::4], np.arange(len(gallery_art))[::4]
    white = (255, 255, 255)
    changes = {
        "rescaled to 72 px": lambda p: on(white, p.resize((72, 72), Image.Resampling.BILINEAR)),
        "JPEG quality 40": lambda p: jpeg(on(white, p), 40),
        "on black": lambda p: on((0, 0, 0), p),
        "on a colour": lambda p: on((70, 150, 200), p),
        "turned by 10 degrees": lambda p: on(
            white, p.rotate(10, Image.Resampling.BICUBIC, expand=False)
        ),
        "blurred": lambda p: on(white, p).filter(ImageFilter.GaussianBlur(1.5)),
    }
    return {
        name: float((ranks(model.images([f(p) for p in originals]) @ gallery.T, truth) < 1).mean())
        for name, f in changes.items()
    }


def photographs(model: Model, folder: Path) -> dict[str, float]:
    """Return the share of altered photographs that find their original first."""
    photos = [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.JPEG"))]
    gallery = model.images(photos)
    truth = np.arange(len(photos))

    def crop(p: Image.Image, left: float, top: float) -> Image.Image:
        width, height = p.width * 0.8, p.height * 0.8
        x, y = left * (p.width - width), top * (p.height - height)
        return p.crop((round(x), round(y), round(x + width), round(y + height)))

    changes = {
        "middle 80 %": lambda p: crop(p, 0.5, 0.5),
        "corner 80 %": lambda p: crop(p, 0.0, 0.0),
        "other corner 80 %": lambda p: crop(p, 1.0, 1.0),
        "half size": lambda p: p.resize((max(1, p.width // 2), max(1, p.height // 2))),
        "128 px": lambda p: p.resize((128, max(1, 128 * p.height // p.width))),
        "JPEG quality 30": lambda p: jpeg(p, 30),
    }
    return {
        name: float((ranks(model.images([f(p) for p in photos]) @ gallery.T, truth) < 1).mean())
        for name, f in changes.items()
    }


PHRASES = (
    ("someone crying of laughter", {"1F602", "1F923"}),
    ("un gato", {"1F408", "1F431", "1F638", "1F63A", "1F63B", "1F408-200D-2B1B"}),
    ("comida japonesa", {"1F363", "1F371", "1F359", "1F358", "1F35C", "1F362"}),
    ("um cachorro", {"1F415", "1F436", "1F429", "1F9AE"}),
    ("feliz cumpleaños", {"1F382", "1F973", "1F381", "1F389"}),
    ("birthday party", {"1F382", "1F973", "1F381", "1F389", "1F38A"}),
    ("te quiero", {"2764", "1F60D", "1F970", "1F618", "1F495", "1F48C", "1F91F"}),
    ("time to sleep", {"1F634", "1F4A4", "1F6CC", "1F62A", "1F6CF"}),
)


def main() -> None:
    """Measure and print; with --json also write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/stickers/photos"))
    parser.add_argument(
        "--stickers",
        type=Path,
        default=Path("models/stickers"),
        help="the sticker model alone, for comparison",
    )
    parser.add_argument("--packages", type=Path, default=Path("training/artwork/node_modules"))
    parser.add_argument("--styles", nargs="+", default=["twemoji"])
    parser.add_argument(
        "--exam-packages", type=Path, help="node_modules that hold OpenMoji, to be judged as well"
    )
    parser.add_argument("--photos", type=Path, help="folder of photographs, *.JPEG")
    parser.add_argument("--stamps", type=Path, help="folder of Tux Paint's stamps, to be judged")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model, alone = Model(arguments.model), Model(arguments.stickers)
    concepts = load_concepts(arguments.packages)
    report: dict[str, object] = {}
    judged = [(arguments.packages, style) for style in arguments.styles]
    if arguments.exam_packages:
        judged.append((arguments.exam_packages, EXAM_STYLE))
    for packages, style in judged:
        rows, pictures = drawings(packages, style, concepts)
        flat = [on((255, 255, 255), picture) for picture in pictures]
        vectors = model.images(flat)
        unchanged = (vectors * alone.images(flat)).sum(axis=1) > UNCHANGED
        report[style] = {
            "unchanged": float(unchanged.mean()),
            "drawings": len(rows),
            "concepts": len(concepts),
            "meaning": meaning(model, rows, vectors, concepts),
            "original found first": robustness(model, pictures, vectors),
            "phrases": {
                phrase: any(
                    concepts[rows[i]].hexcode in wanted
                    for i in np.argsort(-(model.texts([phrase]) @ vectors.T)[0])[:10]
                )
                for phrase, wanted in PHRASES
            },
        }
    if arguments.stamps:
        stamps = load_stamps(arguments.stamps)
        report["stamps"] = {
            "photographs": len(stamps),
            "sticker model alone": stamp_figures(alone, stamps),
            "both towers": stamp_figures(model, stamps),
        }
    if arguments.photos:
        report["photographs"] = photographs(model, arguments.photos)
    text = json.dumps(report, indent=2, ensure_ascii=False)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
