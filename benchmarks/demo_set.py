"""Loads the demo's stickers with their vectors, and their true labels from demo_truth.json, made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mirada.adapters.encoders.engines import load_chosen
from mirada.config import BUNDLED_MODEL_DIR
from mirada.feedback.concepts import CONCEPTS, theme_vectors
from mirada.kernel.embeddings import Matrix
from mirada.kernel.labels import DEFAULT_LABELS, Label, ensemble, ensemble_texts
from mirada.kernel.zero_shot import ZeroShot, zero_shot
from mirada.ports import CalibratedEncoder

ROOT = Path(__file__).resolve().parent.parent


def encoder_of(
    model: str = "bundled", pretrained: str | None = None, device: str = "auto"
) -> CalibratedEncoder:
    """Return the encoder that the settings of these names mean on an empty database.

    Raises:
        MiradaError: as `load_chosen` does.
    """
    return load_chosen(
        model,
        pretrained,
        bundled=BUNDLED_MODEL_DIR,
        pinned=None,
        engine="auto",
        device=device,
        cache_dir=None,
    )


@dataclass(frozen=True)
class Demo:
    """The demo's stickers as an encoder sees them, and what they show.

    Attributes:
        names: (n) English names.
        pictures: (n, d) float32, unit rows.
        about: (n, e) float32, their theme vectors.
        concepts: (w, d) float32, the concepts' vectors.
        encode: texts -> unit rows.
        scale: the model's logit scale.
        bias: its logit bias.
        label_of: (n,) position in DEFAULT_LABELS, -1 for a sticker that fits none.
        themes: made-up theme -> (n,) bool.
        holds: made-up theme -> what is in it, in words.
    """

    names: list[str]
    pictures: Matrix
    about: Matrix
    concepts: Matrix
    encode: Callable[[Sequence[str]], Matrix]
    scale: float
    bias: float
    label_of: np.ndarray
    themes: dict[str, np.ndarray]
    holds: dict[str, str]

    @classmethod
    def load(cls, encoder: CalibratedEncoder) -> Demo:
        """Encode the demo. Raises ValueError where demo_truth.json names what is not there."""
        pictures, names = _stickers()
        truth = json.loads((ROOT / "benchmarks" / "demo_truth.json").read_text(encoding="utf-8"))
        positions = {label.name: place for place, label in enumerate(DEFAULT_LABELS)}
        label_of = np.full(len(names), -1)
        for label, shown in truth["labels"].items():
            label_of[[names.index(name) for name in shown]] = positions[label]
        themes = {}
        for theme, facts in truth["themes"].items():
            themes[theme] = np.zeros(len(names), dtype=bool)
            themes[theme][[names.index(name) for name in facts["stickers"]]] = True
        vectors, concepts = encoder.encode_images(pictures), encoder.encode_texts(CONCEPTS)
        return cls(
            names=names,
            pictures=vectors,
            about=theme_vectors(vectors, concepts),
            concepts=concepts,
            encode=encoder.encode_texts,
            scale=encoder.logit_scale,
            bias=encoder.logit_bias,
            label_of=label_of,
            themes=themes,
            holds={theme: facts["holds"] for theme, facts in truth["themes"].items()},
        )

    def classified(self, rows: np.ndarray, labels: Matrix) -> list[ZeroShot]:
        """Return what the encoder alone says of these pictures."""
        return [zero_shot(self.pictures[row], labels, self.scale, self.bias) for row in rows]

    def ensembles(
        self, labels: Sequence[Label], *, templates: Sequence[str] | None = None, described: bool
    ) -> Matrix:
        """Return the labels' vectors, their own descriptions joining where `described`."""
        return np.stack(
            [
                ensemble(
                    self.encode(
                        ensemble_texts(
                            label,
                            templates=templates,
                            descriptions=[label.description]
                            if described and label.description
                            else [],
                        )
                    )
                )
                for label in labels
            ]
        )


def demo_pictures() -> list[np.ndarray]:
    """Return the demo's stickers on white, (160, 160, 3) uint8 each, in the order of stickers.json."""
    return _stickers()[0]


def _stickers() -> tuple[list[np.ndarray], list[str]]:
    """Return the demo's stickers on white, as the product sees them, and their English names."""
    listed = json.loads((ROOT / "demo" / "stickers.json").read_text(encoding="utf-8"))["stickers"]
    pictures = []
    for sticker in listed:
        with Image.open(ROOT / "demo" / sticker["file"]) as picture:
            rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        pictures.append(np.asarray(Image.alpha_composite(white, rgba).convert("RGB")))
    return pictures, [sticker["names"]["en"] for sticker in listed]
