"""The examination of the photo tower: cut-out photographs of Tux Paint's stamps, with captions.

Debian's tuxpaint-stamps-default is under the GPL-2, so it measures and does nothing else: nothing is
fitted on it, chosen by it, or shipped. ImageNet's trunk has not seen it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.photo_words import LANGUAGES, families, kinds

TOPICS = ("animals", "food", "hobbies", "household", "military", "plants", "sports", "vehicles")
"""Folders that hold photographs, but for those named "cartoon"; the others hold drawings."""
CAPTIONS = {"pt": ("pt_BR.utf8", "pt.utf8"), "es": ("es.utf8",)}
ARTICLE = re.compile(
    r"^(an?|the|some|an? pair of|uma?|un[ao]?s?|unos|[oa]s?|el|l[ao]s?)\s+", re.IGNORECASE
)
Matrix = npt.NDArray[np.float32]


class Model(Protocol):
    """Both towers of a model."""

    def images(self, pictures: list[Image.Image]) -> Matrix:
        """Return (n, d) unit rows."""

    def texts(self, texts: list[str]) -> Matrix:
        """Return (n, d) unit rows."""


@dataclass(frozen=True)
class Stamp:
    """A cut-out photograph.

    Attributes:
        picture: RGB, on white.
        captions: language -> short text, without article and full stop.
        group: "a kind" when its English caption names one of the classifier's kinds, "a family" when
            it names a family of kinds, else "neither".
    """

    picture: Image.Image
    captions: dict[str, str]
    group: str


def plain(caption: str) -> str:
    """Return a caption without its article and full stop."""
    return ARTICLE.sub("", caption.strip().rstrip(".!").strip()).strip()


def load_stamps(folder: Path) -> list[Stamp]:
    """Return the photographs with captions in three languages, in the order of their paths.

    Args:
        folder: `usr/share/tuxpaint/stamps` of the package.
    """
    of_kinds = {name.lower() for kind in kinds() for name in kind.names["en"]}
    of_families = {name.lower() for names in families().values() for name in names["en"]}
    found = []
    for path in sorted(folder.rglob("*.png")):
        parts = path.relative_to(folder).parts
        text = path.with_suffix(".txt")
        if (
            parts[0] not in TOPICS
            or "cartoon" in parts
            or "_mirror" in path.stem
            or not text.exists()
        ):
            continue
        first, *others = text.read_text(encoding="utf-8", errors="replace").splitlines()
        translated = dict(line.split("=", 1) for line in others if "=" in line)
        captions = {"en": plain(first)}
        for language, names in CAPTIONS.items():
            given = next((translated[name] for name in names if name in translated), "")
            captions[language] = plain(given)
        if not all(captions.values()):
            continue
        english = captions["en"].lower()
        group = (
            "a kind" if english in of_kinds else "a family" if english in of_families else "neither"
        )
        picture = Image.open(path).convert("RGBA")
        canvas = Image.new("RGBA", picture.size, "white")
        canvas.alpha_composite(picture)
        found.append(Stamp(canvas.convert("RGB"), captions, group))
    return found


def figures(model: Model, stamps: list[Stamp]) -> dict[str, dict[str, float]]:
    """Return language -> figure -> share, all captions of the examination as candidates.

    Pictures of one caption count as one thing: any of them is right.
    """
    vectors = model.images([stamp.picture for stamp in stamps])
    found: dict[str, dict[str, float]] = {}
    for language in LANGUAGES:
        captions = sorted({stamp.captions[language] for stamp in stamps})
        place = {caption: row for row, caption in enumerate(captions)}
        truth = np.array([place[stamp.captions[language]] for stamp in stamps])
        scores = vectors @ model.texts(captions).T
        rank = (scores > scores[np.arange(len(truth)), truth][:, None]).sum(axis=1)
        best = np.array([scores[truth == row, row].max() for row in range(len(captions))])
        first = (scores > best).sum(axis=0)
        found[language] = {
            "picture -> name top-1": float((rank < 1).mean()),
            "picture -> name top-5": float((rank < 5).mean()),
            "name -> picture recall@10": float((first < 10).mean()),
        }
        for group in ("a kind", "a family", "neither"):
            rows = np.array([stamp.group == group for stamp in stamps])
            found[language][f"top-1 where the name is {group} ({rows.sum()})"] = float(
                (rank[rows] < 1).mean()
            )
    return found
